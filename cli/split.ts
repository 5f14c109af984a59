/** Small seeded generator for shuffles (SplitMix32 by its published constants); training has its own on the device. */
export function seededUniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** The numbers 0 … count − 1 in an order that only the seed decides (Fisher–Yates). */
export function shuffledIndices(count: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const uniform = seededUniform(seed);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1)); // at most i, as uniform() is below 1
    const moved = order[i] as number;
    order[i] = order[j] as number;
    order[j] = moved;
  }
  return order;
}

/** The rows with these numbers, in this order, as a new row-major array. */
export function takeRows<T extends Float32Array | Float64Array>(data: T, dim: number, rows: Uint32Array): T {
  const length = rows.length * dim;
  const taken = data instanceof Float64Array ? new Float64Array(length) : new Float32Array(length);
  for (const [position, row] of rows.entries()) taken.set(data.subarray(row * dim, (row + 1) * dim), position * dim);
  return taken as T;
}

/** Shuffles the rows by the seed and holds a share of them out; equal seeds give equal parts. */
export function splitRows<T extends Float32Array | Float64Array>(
  data: T,
  dim: number,
  share: number,
  seed: number,
): { kept: T; held: T } {
  const order = shuffledIndices(data.length / dim, seed);
  const heldCount = Math.round(share * order.length);
  return {
    held: takeRows(data, dim, order.subarray(0, heldCount)),
    kept: takeRows(data, dim, order.subarray(heldCount)),
  };
}
