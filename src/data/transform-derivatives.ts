import { item } from "../must.ts";
import { turn } from "../network/circle.ts";
import { blocks, type Transform } from "./transform.ts";
import type { DataUnits } from "./transform-maps.ts";
import type { DataRows } from "./units.ts";

/** Of a latitude in degrees, with all digits next to the poles. */
const cosine = (latitude: number) => Math.sin(((90 - Math.abs(latitude)) * Math.PI) / 180);

/** log |det ∂y/∂x| of each row of data [n, dim], where y are the rows that {@link freeRows} makes of them: what log p_y gains to be log p_x. */
export function logDeterminants(rows: DataRows, transform: Transform, dim: number): Float64Array {
  const result = new Float64Array(rows.length / dim);
  for (const [axis, one] of blocks(transform)) {
    for (let row = 0; row < result.length; row++) {
      const x = item(rows, row * dim + axis);
      let value = 0;
      if (one.kind === "interval") value = Math.log((one.high - one.low) / (x - one.low) / (one.high - x));
      else if (one.kind === "positive") value = -Math.log(x);
      else if (one.kind === "latitude") value = Math.log(Math.PI / 90 / cosine(x));
      else if (one.kind === "circular") value = Math.log(turn / one.period);
      else {
        const parts = rows.subarray(row * dim + axis, row * dim + axis + one.size);
        let rest = 1;
        for (const part of parts) {
          rest -= part;
          value -= Math.log(part);
        }
        value -= Math.log(rest);
      }
      result[row] = item(result, row) + value;
    }
  }
  return result;
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
    for (let k = axis; k < rows.length; k += dim) {
      const x = item(rows, k);
      const v = item(velocities, k);
      if (one.kind === "interval") velocities[k] = v * (((x - one.low) * (one.high - x)) / (one.high - one.low));
      else if (one.kind === "positive") velocities[k] = v * x;
      else if (one.kind === "latitude") velocities[k] = v * cosine(x) * (90 / Math.PI);
      else if (one.kind === "circular") velocities[k] = (v * one.period) / turn;
      else {
        const own = velocities.subarray(k, k + one.size);
        const mean = own.reduce((sum, value, i) => sum + value * item(rows, k + i), 0);
        own.set(own.map((value, i) => item(rows, k + i) * (value - mean)));
      }
    }
  }
  return velocities;
}
