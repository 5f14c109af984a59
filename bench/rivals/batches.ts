import type { Prepared, Work } from "../contender.ts";

/** Activations of one layer get no more than this, whatever the device allows: several of them live at once. */
const mostBytes = 1 << 29;

/** Rows whose widest activations, for the value and for all tangents at once, still fit into one binding. */
export function rowsPerBatch(work: Exclude<Work, { kind: "train" }>, limits: GPUSupportedLimits): number {
  const { dim, hidden } = work.network;
  const tangents = work.kind !== "likelihood" ? 1 : work.divergence === "exact" ? dim : work.divergence.probes;
  const bytes = Math.min(mostBytes, limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  return Math.max(1, Math.floor(bytes / (4 * Math.max(dim, ...hidden) * tangents)));
}

/**
 * Array libraries hold the activations of all rows at once; where these do not fit into a binding, the user has to cut the rows
 * into batches. So does this, into equal ones, for any contender that prepares one.
 */
export async function prepareInBatches(
  work: Work,
  limits: GPUSupportedLimits,
  prepareOne: (work: Work) => Promise<Prepared | string>,
): Promise<Prepared | string> {
  if (work.kind === "train") return prepareOne(work);
  const count = Math.ceil(work.n / rowsPerBatch(work, limits));
  if (count === 1) return prepareOne(work);
  const rows = Math.ceil(work.n / count);
  const { dim } = work.network;
  const parts: Prepared[] = [];
  for (let start = 0; start < work.n; start += rows) {
    const n = Math.min(rows, work.n - start);
    const part = await prepareOne({ ...work, n, x: work.x.subarray(start * dim, (start + n) * dim) });
    if (typeof part === "string") return part;
    parts.push(part);
  }
  return {
    async run() {
      for (const part of parts) await part.run();
    },
    async result() {
      const results = await Promise.all(parts.map((part) => part.result()));
      const joined = new Float32Array(results.reduce((sum, { length }) => sum + length, 0));
      let offset = 0;
      for (const values of results) {
        joined.set(values, offset);
        offset += values.length;
      }
      return joined;
    },
    dispose() {
      for (const part of parts) part.dispose();
    },
  };
}
