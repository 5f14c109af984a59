import { invalid } from "../errors.ts";
import { checkKeys, checkSingle, checkWord, show } from "../options.ts";

/** Where particles start: a Gaussian with independent components (default N(0, I)), or uniform on a box. */
export type Source =
  | { distribution: "gaussian"; mean?: number[]; std?: number[] }
  | { distribution: "uniform"; low: number[]; high: number[] };

/** A checked source: two rows of numbers and what log p_0 has beside the part that depends on x. */
export interface SourceSpec {
  readonly kind: "gaussian" | "uniform";
  /** mean, std or low, high: [2][dim]. */
  readonly rows: Float32Array;
  /** −Σ log(std √2π), or −Σ log(high − low). */
  readonly constant: number;
  readonly options: Source;
}

/** The source N(0, I) unless another is given. */
export function sourceSpec(source: Source | undefined, dim: number): SourceSpec {
  const options = source ?? { distribution: "gaussian" };
  const kind = checkWord("source.distribution", (options as Source).distribution, ["gaussian", "uniform"]);
  if (options.distribution === "gaussian") {
    checkKeys("source", options, ["distribution", "mean", "std"]);
    const mean = row("source.mean", options.mean ?? new Array(dim).fill(0), dim);
    const std = row("source.std", options.std ?? new Array(dim).fill(1), dim);
    for (const [i, s] of std.entries())
      if (!(s > 0)) throw invalid(`source.std[${i}] is ${s}, but a standard deviation is positive`);
    const constant = -std.reduce((sum, s) => sum + Math.log(s) + Math.log(2 * Math.PI) / 2, 0);
    return { kind, rows: Float32Array.of(...mean, ...std), constant, options: { distribution: "gaussian", mean, std } };
  }
  checkKeys("source", options, ["distribution", "low", "high"]);
  const low = row("source.low", options.low, dim);
  const high = row("source.high", options.high, dim);
  for (const [i, bound] of high.entries()) {
    const width = Math.fround(bound) - Math.fround(low[i] ?? Number.NaN);
    if (!(width > 0 && Math.fround(width) < Number.POSITIVE_INFINITY))
      throw invalid(
        `source.high[${i}] is ${bound}, but it must be above source.low[${i}] = ${low[i]} by a number that f32 holds`,
      );
  }
  const constant = -high.reduce((sum, bound, i) => sum + Math.log(bound - (low[i] ?? 0)), 0);
  return { kind, rows: Float32Array.of(...low, ...high), constant, options: { distribution: "uniform", low, high } };
}

function row(what: string, values: unknown, dim: number): number[] {
  if (!(Array.isArray(values) || ArrayBuffer.isView(values)) || (values as number[]).length !== dim) {
    throw invalid(`${what} is ${show(values)}, but it is a list of ${dim} numbers, one per dimension`);
  }
  return Array.from(values as number[], (value, i) => checkSingle(`${what}[${i}]`, value));
}

/** The affine map from the flow's own space to data units: x_data = mean + scale·x. */
export interface Normalization {
  mean: number[];
  scale: number[];
}

export function checkNormalization(normalization: Normalization, dim: number): Normalization {
  checkKeys("normalization", normalization, ["mean", "scale"]);
  const scale = row("normalization.scale", normalization.scale, dim);
  for (const [i, s] of scale.entries())
    if (!(s > 0)) throw invalid(`normalization.scale[${i}] is ${s}, but a scale is positive`);
  return { mean: row("normalization.mean", normalization.mean, dim), scale };
}
