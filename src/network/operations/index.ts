import { activateInPyTorch, activateRule } from "./activate.ts";
import { concatInPyTorch, concatRule, sliceInPyTorch, sliceRule } from "./arrange.ts";
import { fourierInPyTorch, fourierRule } from "./fourier.ts";
import { inputInPyTorch, inputRule } from "./input.ts";
import { linearInPyTorch, linearRule } from "./linear.ts";
import { layerNormInPyTorch, layerNormRule, rmsNormInPyTorch, rmsNormRule } from "./norms.ts";
import type { PyTorchText } from "./pytorch.ts";
import {
  addInPyTorch,
  addRule,
  multiplyInPyTorch,
  multiplyRule,
  scaleInPyTorch,
  scaleRule,
  shiftInPyTorch,
  shiftRule,
} from "./rowwise.ts";
import type { OperationRule } from "./rule.ts";

/** All operations that a network is made of. A new one is a file beside this and a line here, and one below. */
const rules: readonly OperationRule[] = [
  inputRule,
  linearRule,
  activateRule,
  addRule,
  multiplyRule,
  scaleRule,
  shiftRule,
  concatRule,
  sliceRule,
  fourierRule,
  layerNormRule,
  rmsNormRule,
];

export const operationRules: ReadonlyMap<string, OperationRule> = new Map(rules.map((rule) => [rule.op, rule]));

/** How PyTorch writes each of them. */
export const pytorchTexts: Readonly<Record<string, PyTorchText>> = {
  input: inputInPyTorch,
  linear: linearInPyTorch,
  activate: activateInPyTorch,
  add: addInPyTorch,
  multiply: multiplyInPyTorch,
  scale: scaleInPyTorch,
  shift: shiftInPyTorch,
  concat: concatInPyTorch,
  slice: sliceInPyTorch,
  fourier: fourierInPyTorch,
  layerNorm: layerNormInPyTorch,
  rmsNorm: rmsNormInPyTorch,
};
