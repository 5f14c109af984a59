import { activateRule } from "./activate.ts";
import { concatRule, sliceRule } from "./arrange.ts";
import { fourierRule } from "./fourier.ts";
import { inputRule } from "./input.ts";
import { layerNormRule } from "./layer-norm.ts";
import { linearRule } from "./linear.ts";
import { rmsNormRule } from "./rms-norm.ts";
import { addRule, multiplyRule, scaleRule, shiftRule } from "./rowwise.ts";
import type { OperationRule } from "./rule.ts";

/** All operations that a network is made of. A new one is a file beside this and a line here. */
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
