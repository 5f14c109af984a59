import type { AdamSettings } from "../../shaders/optimizer.ts";
import { invalid } from "../errors.ts";
import { checked } from "../options/schema.ts";
import { checkFinite, show } from "../options.ts";
import type { CheckedTraining } from "./fields.ts";
import { optimizerFields } from "./later-fields.ts";
import type { MuonSettings } from "./muon.ts";
import type { AnyOptimizer } from "./optimizer-options.ts";

/** Of Adam, which Muon leaves what is no hidden matrix. */
export interface OptimizerSettings extends AdamSettings {
  readonly muon?: MuonSettings;
}

/**
 * The settings of a training's optimiser, checked when its first step is asked for.
 *
 * @throws PushforwardError `invalid-argument` for settings that are none.
 */
export function optimizerSettings(
  what: string,
  { optimizer, ema, gradientClip }: Pick<CheckedTraining, "optimizer" | "ema" | "gradientClip">,
): OptimizerSettings {
  const given = typeof optimizer === "string" ? { name: optimizer } : optimizer;
  if (typeof given !== "object" || given === null)
    throw invalid(
      `${what}: optimizer is ${show(optimizer)}, but it is "adam", "adamw", "muon" or { name, betas, epsilon, weightDecay }`,
    );
  const o = checked(`${what}: optimizer`, optimizerFields, given as AnyOptimizer, `${what}: optimizer.`);
  const { name, betas, epsilon, weightDecay, momentum, matrixRate } = o;
  if (!Array.isArray(betas) || betas.length !== 2)
    throw invalid(`${what}: optimizer.betas is ${show(betas)}, but it is a pair: pass for example [0.9, 0.999]`);
  const [beta1, beta2] = betas;
  if (name === "adam" && weightDecay !== undefined) {
    throw invalid(`${what}: optimizer "adam" has no weightDecay: use { name: "adamw", weightDecay: … }`);
  }
  if (name !== "muon" && (momentum ?? matrixRate) !== undefined)
    throw invalid(`${what}: optimizer "${name}" has no momentum and no matrixRate: use { name: "muon", … }`);
  // f32 flushes what is smaller to 0, and 0/0 is the step of a weight that has no gradient
  if (epsilon < 1e-30)
    throw invalid(`${what}: optimizer.epsilon is ${epsilon}, but it keeps 0/0 out: pass at least 1e-30`);
  return {
    ema,
    gradientClip,
    beta1: checkFinite(`${what}: optimizer.betas[0]`, beta1, 0, 0.999999),
    beta2: checkFinite(`${what}: optimizer.betas[1]`, beta2, 0, 0.9999999),
    epsilon,
    weightDecay: name === "adam" ? 0 : (weightDecay ?? 0.01),
    ...(name === "muon" && { muon: { momentum: momentum ?? 0.95, matrixRate: matrixRate ?? 20 } }),
  };
}
