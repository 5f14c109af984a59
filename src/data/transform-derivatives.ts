import { item } from "../must.ts";
import { spaceOf } from "./spaces.ts";
import { blocks, sizeOf, type Transform } from "./transform.ts";
import type { DataUnits } from "./transform-maps.ts";
import type { DataRows } from "./units.ts";

/** log |det ∂y/∂x| of each row of data [n, dim], where y are the rows that {@link freeRows} makes of them: what log p_y gains to be log p_x. */
export function logDeterminants(rows: DataRows, transform: Transform, dim: number): Float64Array {
  const result = new Float64Array(rows.length / dim);
  for (const [axis, one] of blocks(transform)) {
    const space = spaceOf(one);
    for (let row = 0; row < result.length; row++) {
      const from = row * dim + axis;
      result[row] = item(result, row) + space.logDeterminant(rows.subarray(from, from + sizeOf(one)), one);
    }
  }
  return result;
}

/**
 * Gradients of log p by rows of a flow's own space, at rows [n, dim] of data, as those by the data, since
 * log p_x(x) = log p_y(y(x)) + log |det ∂y/∂x|.
 */
export function dataGradients(
  rows: DataRows,
  own: Float32Array,
  dim: number,
  { normalization, transform }: DataUnits,
): Float32Array {
  const free = Float64Array.from(own, (value, k) =>
    normalization ? value / item(normalization.scale, k % dim) : value,
  );
  for (const [axis, one] of transform ? blocks(transform) : []) {
    const [space, size] = [spaceOf(one), sizeOf(one)];
    for (let k = axis; k < rows.length; k += dim)
      space.gradient(free.subarray(k, k + size), rows.subarray(k, k + size), one);
  }
  return Float32Array.from(free);
}

/** Velocities of a flow in its own space, at rows [n, dim] of data, as those of the data. */
export function dataVelocities(
  rows: DataRows,
  own: Float32Array,
  dim: number,
  { normalization, transform }: DataUnits,
): Float32Array {
  const free = normalization ? own.map((value, k) => value * item(normalization.scale, k % dim)) : own.slice();
  return transform ? boundVelocities(rows, free, transform, dim) : free;
}

/** ∂x/∂y · v at rows x of data [n, dim]: velocities of y, in their place, as those of the data. */
function boundVelocities(rows: DataRows, velocities: Float32Array, transform: Transform, dim: number): Float32Array {
  for (const [axis, one] of blocks(transform)) {
    const space = spaceOf(one);
    for (let k = axis; k < rows.length; k += dim) {
      const end = k + sizeOf(one);
      space.carry(velocities.subarray(k, end), rows.subarray(k, end), one);
    }
  }
  return velocities;
}
