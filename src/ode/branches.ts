import { type Branches, oneBranch } from "../kernels/fused.ts";
import type { Conditions } from "./engine.ts";

/** Which branches of the guided mix are evaluated: a single one when its weight is 1. */
export function branchesOf(
  velocity: { classes: number },
  { labels, guidance }: Conditions,
): Branches & { nullFirst: boolean } {
  if (velocity.classes === 0 || labels === undefined || guidance === 0) return { ...oneBranch, nullFirst: true };
  if (guidance === 1) return { ...oneBranch, nullFirst: false };
  return { count: 2, weightNull: 1 - guidance, weightLabel: guidance, nullFirst: true };
}
