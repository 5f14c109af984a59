import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { type Check, checked, type Schema, word } from "../options/schema.ts";
import { checkSingle, checkWord, show } from "../options.ts";

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
  if ((options as Partial<Source>).distribution === undefined)
    throw invalid(`source has no distribution, but it is { distribution: "gaussian" } or { distribution: "uniform" }`);
  const kind = checkWord("source.distribution", (options as Source).distribution, ["gaussian", "uniform"]);
  if (options.distribution === "gaussian") {
    const { mean, std } = checked("source", gaussianFields(dim), options, "source.");
    const constant = -std.reduce((sum, s) => sum + Math.log(s) + Math.log(2 * Math.PI) / 2, 0);
    return { kind, rows: Float32Array.of(...mean, ...std), constant, options: { distribution: "gaussian", mean, std } };
  }
  const { low, high } = checked("source", uniformFields(dim), options, "source.");
  for (const [i, bound] of high.entries()) {
    const width = Math.fround(bound) - Math.fround(item(low, i));
    if (!(width > 0 && Math.fround(width) < Number.POSITIVE_INFINITY))
      throw invalid(
        `source.high[${i}] is ${bound}, but it must be above source.low[${i}] = ${low[i]} by a number that f32 holds`,
      );
  }
  const constant = -high.reduce((sum, bound, i) => sum + Math.log(bound - item(low, i)), 0);
  return { kind, rows: Float32Array.of(...low, ...high), constant, options: { distribution: "uniform", low, high } };
}

/** A number for each of `dim` axes. */
const row =
  (dim: number): Check<number[]> =>
  (name, values) => {
    if (!(Array.isArray(values) || ArrayBuffer.isView(values)) || (values as number[]).length !== dim)
      throw invalid(
        `${name} is ${values === undefined ? "missing" : show(values)}, but it is a list of ${dim} numbers, one per dimension`,
      );
    return Array.from(values as number[], (value, i) => checkSingle(`${name}[${i}]`, value));
  };

/** A positive number for each axis; `what` each of them is. */
const positiveRow =
  (dim: number, what: string): Check<number[]> =>
  (name, values) => {
    const numbers = row(dim)(name, values);
    for (const [i, s] of numbers.entries())
      if (!(s > 0)) throw invalid(`${name}[${i}] is ${s}, but ${what} is positive`);
    return numbers;
  };

const gaussianFields = (dim: number) =>
  ({
    distribution: { check: word("gaussian"), required: true },
    mean: { check: row(dim), fallback: new Array<number>(dim).fill(0) },
    std: { check: positiveRow(dim, "a standard deviation"), fallback: new Array<number>(dim).fill(1) },
  }) satisfies Schema<Extract<Source, { distribution: "gaussian" }>>;

const uniformFields = (dim: number) =>
  ({
    distribution: { check: word("uniform"), required: true },
    low: { check: row(dim), required: true },
    high: { check: row(dim), required: true },
  }) satisfies Schema<Extract<Source, { distribution: "uniform" }>>;

/** The affine map from the flow's own space to data units: x_data = mean + scale·x. */
export interface Normalization {
  mean: number[];
  scale: number[];
}

export function checkNormalization(normalization: Normalization, dim: number): Normalization {
  const fields = {
    mean: { check: row(dim), required: true },
    scale: { check: positiveRow(dim, "a scale"), required: true },
  } satisfies Schema<Normalization>;
  return checked("normalization", fields, normalization, "normalization.");
}
