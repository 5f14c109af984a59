import type { ChunkPlan } from "../schedule/job.ts";

/** A part of a chunk's plan. */
export type Part = Partial<Pick<ChunkPlan, "buffers" | "dispatches" | "outputs">>;

/** Parts of a plan one after the other, without those that are not needed. */
export function joined(parts: readonly (Part | undefined | false)[]): Required<Part> {
  const needed = parts.filter((part) => part !== undefined && part !== false);
  return {
    buffers: needed.flatMap(({ buffers = [] }) => buffers),
    dispatches: needed.flatMap(({ dispatches = [] }) => dispatches),
    outputs: needed.flatMap(({ outputs = [] }) => outputs),
  };
}
