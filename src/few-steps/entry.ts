// The entry "pushforward/few-steps".
export { type DistillationOptions, type DistillationPairs, distillationPairs } from "./distillation.ts";
export { type ReflowPairs, reflowPairs } from "./reflow.ts";
export type { PairOptions } from "./samples.ts";
export { type ShortcutSteps, shortcutSteps } from "./shortcut.ts";
