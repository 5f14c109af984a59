import type { PlannedBuffer } from "../gpu/kernel.ts";
import { type Branches, oneBranch } from "../kernels/fused.ts";
import type { Chunk, Conditions } from "./engine.ts";
import { sliceOrRepeat } from "./slice.ts";

/** Which branches of the guided mix are evaluated: a single one when its weight is 1. */
export function branchesOf(
  { classes }: { classes: number },
  { labels, context, guidance, isMixed }: Conditions,
): Branches {
  const isOpen = (classes > 0 ? labels : context) === undefined;
  if (isOpen || (guidance === 0 && !isMixed)) return { ...oneBranch, nullFirst: true };
  if (guidance === 1 && !isMixed) return { ...oneBranch, nullFirst: false };
  return { count: 2, weightNull: 1 - guidance, weightLabel: guidance, nullFirst: true };
}

/** The labels and the context of a chunk's particles, as far as a call has them. */
export function conditionBuffers(
  { start, count }: Chunk,
  { labels, context }: Conditions,
  contextWidth: number,
): PlannedBuffer[] {
  return [
    ...(labels ? [sliceOrRepeat("labels", labels, start, count, 1)] : []),
    ...(context ? [sliceOrRepeat("context", context, start, count, contextWidth)] : []),
  ];
}
