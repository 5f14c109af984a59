import { at, type Vector } from "./vectors.ts";

/** Central difference of f at every coordinate of x, O(step²). */
export function centralDifferences(f: (x: Float64Array) => number, x: Vector, step = 1e-5): Float64Array {
  const point = Float64Array.from(x);
  return Float64Array.from(x, (value, i) => {
    point[i] = value + step;
    const above = f(point);
    point[i] = value - step;
    const below = f(point);
    point[i] = value;
    return (above - below) / (2 * step);
  });
}

/** Central differences of a loss with respect to every entry of every tensor. */
export function weightDifferences(
  loss: (weights: Record<string, Float64Array>) => number,
  weights: Record<string, Vector>,
  step = 1e-5,
): Record<string, Float64Array> {
  const copy = Object.fromEntries(Object.entries(weights).map(([name, values]) => [name, Float64Array.from(values)]));
  return Object.fromEntries(
    Object.entries(copy).map(([name, values]) => [
      name,
      centralDifferences((changed) => loss({ ...copy, [name]: changed }), values, step),
    ]),
  );
}

/**
 * ‖a − b‖ / ‖b‖ over all tensors: how far gradients `a` are from the right ones `b`, 0 where both are zero. Throws when the names differ.
 */
export function gradientError(a: Record<string, Vector>, b: Record<string, Vector>): number {
  const names = Object.keys(b).sort();
  if (Object.keys(a).sort().join() !== names.join())
    throw new Error(`gradients of ${Object.keys(a)} instead of ${names}`);
  let [difference, size] = [0, 0];
  for (const name of names) {
    const [got, right] = [a[name] ?? [], b[name] ?? []];
    if (got.length !== right.length) throw new Error(`${name} has ${got.length} gradients instead of ${right.length}`);
    for (let i = 0; i < right.length; i++) {
      difference += (at(got, i) - at(right, i)) ** 2;
      size += at(right, i) ** 2;
    }
  }
  return difference === 0 ? 0 : Math.sqrt(difference / size);
}

/** ‖a − b‖∞ / ‖b‖∞ with the larger of ‖b‖∞ and `floor` below. */
export function relativeError(a: Vector, b: Vector, floor = 0): number {
  if (a.length !== b.length) throw new Error(`${a.length} values instead of ${b.length}`);
  let [difference, size] = [0, floor];
  for (let i = 0; i < b.length; i++) {
    // a NaN stays through Math.max, so that it cannot pass for agreement
    difference = Math.max(difference, Math.abs(at(a, i) - at(b, i)));
    size = Math.max(size, Math.abs(at(b, i)));
  }
  return difference === 0 ? 0 : difference / size;
}
