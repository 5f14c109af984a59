/**
 * Data in a space of their own, in f64: y = T(x) and log |det ∂y/∂x|, as sums over axes from the definitions. The inverse is found by the
 * definition of each, and the determinant of a simplex by Gaussian elimination of its Jacobian, so that nothing is shared with the library.
 */
export type Space =
  | { kind: "interval"; low: number; high: number }
  | { kind: "positive" }
  | { kind: "latitude" }
  | { kind: "simplex"; size: number }
  | { kind: "circular"; period: number; low?: number }
  | null;

const axesOf = (space: Space) => (space?.kind === "simplex" ? space.size : 1);

/** Rows of a matrix → log |det|. */
function logDeterminant(matrix: number[][]): number {
  const a = matrix.map((row) => [...row]);
  let sum = 0;
  for (let k = 0; k < a.length; k++) {
    const pivot = a
      .slice(k)
      .reduce((best, row, i) => (Math.abs(row[k] ?? 0) > Math.abs(a[best]?.[k] ?? 0) ? k + i : best), k);
    [a[k], a[pivot]] = [a[pivot] as number[], a[k] as number[]];
    const top = a[k] as number[];
    sum += Math.log(Math.abs(top[k] ?? Number.NaN));
    for (const row of a.slice(k + 1)) {
      const factor = (row[k] ?? 0) / (top[k] ?? Number.NaN);
      for (let j = k; j < a.length; j++) row[j] = (row[j] ?? 0) - factor * (top[j] ?? 0);
    }
  }
  return sum;
}

/** y of one row x. */
export function toFree(x: ArrayLike<number>, spaces: readonly Space[]): { y: number[]; logDet: number } {
  const y: number[] = [];
  let logDet = 0;
  for (const space of spaces) {
    const parts = Array.from({ length: axesOf(space) }, (_, i) => x[y.length + i] ?? Number.NaN);
    const [a = Number.NaN] = parts;
    if (space === null) y.push(a);
    else if (space.kind === "circular") {
      // quarter turns from the point opposite to low
      const angle = (2 * Math.PI * (a - (space.low ?? 0))) / space.period + Math.PI;
      y.push(Math.atan2(Math.sin(angle), Math.cos(angle)) / (Math.PI / 2));
      logDet += Math.log(4 / space.period);
    } else if (space.kind === "latitude") {
      // the logit of the area to the south, (1 + sin φ)/2
      const radians = (a * Math.PI) / 180;
      y.push(2 * Math.asinh(Math.tan(radians)));
      logDet += Math.log(Math.cos(radians) / ((1 + Math.sin(radians)) / 2) / (1 - Math.sin(radians)));
      logDet += Math.log(Math.PI / 180);
    } else if (space.kind === "positive") {
      y.push(Math.log(a));
      logDet += Math.log(1 / a);
    } else if (space.kind === "interval") {
      const p = (a - space.low) / (space.high - space.low);
      y.push(Math.log(p / (1 - p)));
      logDet += Math.log(1 / (p * (1 - p)) / (space.high - space.low));
    } else {
      const rest = 1 - parts.reduce((sum, part) => sum + part, 0);
      y.push(...parts.map((part) => Math.log(part / rest)));
      // ∂ log(x_i/rest)/∂x_j = δ_ij/x_i + 1/rest
      logDet += logDeterminant(parts.map((part, i) => parts.map((_, j) => Number(i === j) / part + 1 / rest)));
    }
  }
  return { y, logDet };
}

/** x of one row y. */
export function toData(y: ArrayLike<number>, spaces: readonly Space[]): number[] {
  const x: number[] = [];
  for (const space of spaces) {
    const parts = Array.from({ length: axesOf(space) }, (_, i) => y[x.length + i] ?? Number.NaN);
    const [a = Number.NaN] = parts;
    if (space === null) x.push(a);
    else if (space.kind === "circular") {
      const angle = Math.atan2(-Math.sin((a * Math.PI) / 2), -Math.cos((a * Math.PI) / 2));
      x.push((space.low ?? 0) + (space.period * (angle < 0 ? angle + 2 * Math.PI : angle)) / (2 * Math.PI));
    } else if (space.kind === "positive") x.push(Math.exp(a));
    else if (space.kind === "latitude") x.push((180 / Math.PI) * Math.asin(Math.tanh(a / 2)));
    else if (space.kind === "interval") x.push(space.low + (space.high - space.low) / (1 + Math.exp(-a)));
    else {
      const powers = parts.map(Math.exp);
      const sum = powers.reduce((total, power) => total + power, 1);
      x.push(...powers.map((power) => power / sum));
    }
  }
  return x;
}
