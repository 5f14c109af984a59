import type { SourceKind } from "../../shaders/source-kinds.ts";
import { readable } from "../arrays.ts";
import { invalid, PushforwardError } from "../errors.ts";
import { item, must } from "../must.ts";
import { turn } from "../network/circle.ts";
import { type Check, checked, type Schema, single, word } from "../options/schema.ts";
import { checkSingle, checkWord, show } from "../options.ts";
import { checkAllFinite, isBuffer, type Rows, rowCount } from "./rows.ts";

/**
 * Where particles start, in the flow's own space: a Gaussian with independent components (default N(0, I)), uniform on a box, a mixture of
 * K such Gaussians, or rows [m, dim] that are drawn with replacement. A mixture's `scales` are the standard deviations of each component,
 * one or [dim]; its `weights` are shares of any sum, equal ones by default. Samples have no density, so there is no log p of such a flow:
 * that is an error, `unsupported`. An array of them is copied; a GPUBuffer of this device is read from now on until the first call of the
 * flow resolves, so it stays as it is until then.
 *
 * On circular axes of a {@link Transform} particles start uniformly: a Gaussian has a standard deviation of a turn, 4, or more there (the
 * default), which once around the circle is uniform to all digits of f32, and a box is a turn, or several, wide.
 *
 * @example
 * import { Flow, mlp, openGpu, toyData } from "pushforward";
 * const gpu = await openGpu();
 * const velocity = mlp({ dim: 2, hidden: [32] });
 * const two = { distribution: "mixture", means: [[-2, 0], [2, 0]], scales: [0.5, [0.5, 1]], weights: [1, 3] } as const;
 * const { logProb } = await Flow.create(gpu, { velocity, source: two }).sample(100, { logProb: true });
 * const { x0 } = await Flow.create(gpu, { velocity, source: { samples: toyData("moons", 500) } }).sample(100); // rows of moons
 * gpu.dispose();
 */
export type Source =
  | { distribution: "gaussian"; mean?: number[]; std?: number[] }
  | { distribution: "uniform"; low: number[]; high: number[] }
  | {
      distribution: "mixture";
      means: readonly (readonly number[])[];
      scales: readonly (number | readonly number[])[];
      weights?: readonly number[];
    }
  | { samples: Float32Array | GPUBuffer };

type Of<Distribution> = Extract<Source, { distribution: Distribution }>;
type Samples = Extract<Source, { samples: unknown }>;

/** A source as it is kept: a mixture with all that may be left out, samples as an array. */
export type KeptSource =
  | Of<"gaussian">
  | Of<"uniform">
  | { distribution: "mixture"; means: number[][]; scales: number[][]; weights: number[] }
  | { samples: Float32Array };

/** A checked source: its numbers, and what log p_0 has beside the part that depends on x. */
export interface SourceSpec {
  readonly kind: SourceKind;
  /** Components of a mixture or rows of samples, else 1. */
  readonly parts: number;
  /** As shaders/source-draws.ts has them. */
  readonly rows: Float32Array;
  /** −Σ log(std √2π), or −Σ log(high − low); of a mixture it is among the rows, for each component. */
  readonly constant: number;
  /** What stands for {@link rows} in densities, where some axes are circular. */
  readonly densityRows?: Float32Array;
  readonly options: KeptSource;
  /** When samples that were in a buffer are here. */
  readonly settled?: Promise<void>;
}

/** The source N(0, I) unless another is given; `read` brings samples of a buffer to the host. */
export function sourceSpec(
  source: Source | undefined,
  dim: number,
  circular: readonly number[] = [],
  read?: (samples: GPUBuffer, rows: Float32Array) => Promise<void>,
): SourceSpec {
  const options: Source = source ?? { distribution: "gaussian" };
  const { distribution, samples } = options as { distribution?: unknown; samples?: unknown };
  if (samples !== undefined) {
    const own = checked("source", samplesFields(dim), options as Samples, "source.").samples;
    if (!isBuffer(own)) return samplesSpec(own, dim);
    const rows = new Float32Array(dim * Math.floor(own.size / (4 * dim)));
    const settled = must(read, "what reads buffers")(own, rows);
    // whoever uses the flow hears of it
    settled.catch(() => undefined);
    return { ...samplesSpec(rows, dim), settled };
  }
  if (distribution === undefined)
    throw invalid(
      `source has neither distribution nor samples, but it is { distribution: "gaussian" }, "uniform" or "mixture", or { samples }`,
    );
  const kind = checkWord("source.distribution", distribution, ["gaussian", "uniform", "mixture"]);
  if (kind === "mixture") return around(mixtureSpec(options as Of<"mixture">, dim), dim, circular);
  if (kind === "gaussian") {
    const { mean, std } = checked("source", gaussianFields(dim, circular), options as Of<"gaussian">, "source.");
    const own = { distribution: "gaussian", mean, std } as const;
    const rows = Float32Array.of(...mean, ...std);
    return around({ kind: "gaussian", parts: 1, rows, constant: peak(std), options: own }, dim, circular);
  }
  const { low, high } = checked("source", uniformFields(dim), options as Of<"uniform">, "source.");
  for (const [i, bound] of high.entries()) {
    const width = Math.fround(bound) - Math.fround(item(low, i));
    if (!(width > 0 && Math.fround(width) < Number.POSITIVE_INFINITY))
      throw invalid(
        `source.high[${i}] is ${bound}, but it must be above source.low[${i}] = ${low[i]} by a number that f32 holds`,
      );
  }
  const constant = -high.reduce((sum, bound, i) => sum + Math.log(bound - item(low, i)), 0);
  const own = { distribution: "uniform", low, high } as const;
  const rows = Float32Array.of(...low, ...high);
  return around({ kind: "uniform", parts: 1, rows, constant, options: own }, dim, circular);
}

/** A source on circles, where it is uniform: densities see numbers there that make them the same all around. */
function around(spec: SourceSpec, dim: number, circular: readonly number[]): SourceSpec {
  if (circular.length === 0) return spec;
  const { kind, parts } = spec;
  const isBox = kind === "uniform";
  const densityRows = spec.rows.slice();
  let { constant } = spec;
  for (const axis of circular)
    for (let part = 0; part < parts; part++) {
      const [at, to] = [part * dim + axis, (parts + part) * dim + axis];
      const width = item(densityRows, to) - (isBox ? item(densityRows, at) : 0);
      if (isBox ? !Number.isInteger(width / turn) : width < turn)
        throw invalid(
          `source is ${isBox ? "a box" : "Gaussian"} with a ${isBox ? "width" : "standard deviation"} of ${width} at axis ${axis}, but that axis is circular, where particles start uniformly: pass ${turn} there, which is a turn`,
        );
      if (isBox) densityRows[at] = -1e30;
      densityRows[to] = 1e30;
      const gain = Math.log(width / turn) + (isBox ? 0 : Math.log(2 * Math.PI) / 2);
      if (kind === "mixture")
        densityRows[2 * parts * dim + parts + part] = item(densityRows, 2 * parts * dim + parts + part) + gain;
      else constant += gain;
    }
  return { ...spec, constant, densityRows };
}

/** log p at the mean of a Gaussian. */
const peak = (std: readonly number[]) => -std.reduce((sum, s) => sum + Math.log(s) + Math.log(2 * Math.PI) / 2, 0);

function mixtureSpec(given: Of<"mixture">, dim: number): SourceSpec {
  const own = checked("source", mixtureFields(dim), given, "source.");
  const { means, scales, weights = own.means.map(() => 1) } = own;
  const parts = means.length;
  for (const [name, list] of Object.entries({ scales, weights }))
    if (list.length !== parts)
      throw invalid(`source.${name} has ${list.length} entries, but there are ${parts} means: pass one for each`);
  const sum = weights.reduce((all: number, weight) => all + weight, 0);
  let level = 0;
  const levels = weights.map((weight) => (level += weight / sum));
  // rounding leaves no gap
  levels[parts - 1] = 1;
  const peaks = scales.map((std, k) => Math.log(item(weights, k) / sum) + peak(std));
  const rows = Float32Array.of(...means.flat(), ...scales.flat(), ...levels, ...peaks);
  return { kind: "mixture", parts, rows, constant: 0, options: { distribution: "mixture", means, scales, weights } };
}

/** Rows that particles start from; they are not changed. */
export function samplesSpec(rows: Float32Array, dim: number): SourceSpec {
  return { kind: "samples", parts: rows.length / dim, rows, constant: Number.NaN, options: { samples: rows } };
}

/** Throws for a source without a density, of which `what` would need the log. */
export function checkDensity(what: string, { kind }: SourceSpec): void {
  if (kind === "samples")
    throw new PushforwardError(
      "unsupported",
      `${what} needs log p of the source, but this flow's source is samples, which have no density: give the flow a source with one, as { distribution: "mixture" } is`,
    );
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

const gaussianFields = (dim: number, circular: readonly number[]) =>
  ({
    distribution: { check: word("gaussian"), required: true },
    mean: { check: row(dim), fallback: new Array<number>(dim).fill(0) },
    std: {
      check: positiveRow(dim, "a standard deviation"),
      fallback: Array.from({ length: dim }, (_, axis) => (circular.includes(axis) ? turn : 1)),
    },
  }) satisfies Schema<Of<"gaussian">>;

const uniformFields = (dim: number) =>
  ({
    distribution: { check: word("uniform"), required: true },
    low: { check: row(dim), required: true },
    high: { check: row(dim), required: true },
  }) satisfies Schema<Of<"uniform">>;

/** At least one entry, each checked by itself. */
const listOf =
  <V>(of: Check<V>): Check<V[]> =>
  (name, values) => {
    if (Array.isArray(values) && values.length > 0) return values.map((value, i) => of(`${name}[${i}]`, value));
    throw invalid(`${name} is ${show(values)}, but it is a list with an entry for each component`);
  };

/** Its numbers are those of f32, as in files, so that a flow that is loaded has the same bits. */
const mixtureFields = (dim: number) => {
  const mean = row(dim);
  const scale = positiveRow(dim, "a standard deviation");
  const share = single(1e-30, Math.fround(1e30), "pass a positive share");
  return {
    distribution: { check: word("mixture"), required: true },
    means: { check: listOf((name, value) => mean(name, value).map(Math.fround)), required: true },
    scales: {
      check: listOf((name, value) =>
        scale(name, typeof value === "number" ? new Array(dim).fill(value) : value).map(Math.fround),
      ),
      required: true,
    },
    weights: { check: listOf((name, value) => Math.fround(share(name, value))) },
  } satisfies Schema<Of<"mixture">>;
};

const samplesFields = (dim: number) =>
  ({
    samples: {
      check(name, value) {
        if (typeof value === "function")
          throw invalid(
            `${name} is a function, but a flow's samples are rows, which go with it into files and to workers: leave source out, pass the function to trainFlowMatching as source, and push its rows`,
          );
        const rows = readable(name, value) as Rows;
        if (rowCount("source", "samples", rows, dim) === 0)
          throw invalid(`${name} is empty, but particles start from at least one row`);
        if (isBuffer(rows)) return rows;
        checkAllFinite("source", "samples", rows, dim);
        return rows.slice();
      },
      required: true,
    },
  }) satisfies Schema<Samples>;

/** The affine map from the flow's own space to data units: x_data = mean + scale·x. */
export interface Normalization {
  mean: number[];
  scale: number[];
}

/** A circle has its own units: what stands for its axes has no effect. */
export function checkNormalization(
  normalization: Normalization,
  dim: number,
  circular: readonly number[] = [],
): Normalization {
  const fields = {
    mean: { check: row(dim), required: true },
    scale: { check: positiveRow(dim, "a scale"), required: true },
  } satisfies Schema<Normalization>;
  const { mean, scale } = checked("normalization", fields, normalization, "normalization.");
  for (const axis of circular) [mean[axis], scale[axis]] = [0, 1];
  return { mean, scale };
}
