import { turn } from "../network/circle.ts";
import { leastNormal } from "../options.ts";
import type { AxisTransform } from "./transform.ts";
import type { DataRows } from "./units.ts";

type Kind = NonNullable<AxisTransform>["kind"];
type Of<K extends Kind> = Extract<AxisTransform, { kind: K }>;

/** What shaders/transform.ts reads of an axis. */
type Numbers = readonly [kind: number, low: number, high: number, least: number, greatest: number];

/** A kind of space, in f64: x are the numbers of a row in it, y those in all of R, which shaders/transform.ts has in WGSL. */
interface Space<One> {
  /** Which x are inside. */
  readonly range: (one: One) => string;
  /** How far x is from both ends, above 0 inside: of a simplex its first part, and what is left of 1. */
  readonly ends: (x: Float64Array, one: One) => readonly [from: number, to: number];
  /** x → y, in their place; `ends` are those of x. */
  readonly free: (x: Float64Array, ends: readonly [from: number, to: number], one: One) => void;
  /** y → x, in their place. */
  readonly bound: (y: Float64Array, one: One) => void;
  /** log |det ∂y/∂x|. */
  readonly logDeterminant: (x: DataRows, one: One) => number;
  /** v → ∂x/∂y · v, in their place. */
  readonly carry: (v: Float32Array, x: DataRows, one: One) => void;
  /** g → (∂y/∂x)ᵀ g + ∇ log |det ∂y/∂x|, in their place: the gradient by y of log p_y → that by x of log p_x. */
  readonly gradient: (g: Float64Array, x: DataRows, one: One) => void;
  readonly numbers: (one: One) => Numbers;
}

/** A space of one axis; its y is log(from/to) unless it says otherwise. */
function ofAxis<One>(axis: {
  range: (one: One) => string;
  ends: (x: number, one: One) => readonly [from: number, to: number];
  free?: (x: number, one: One) => number;
  bound: (y: number, one: One) => number;
  logSlope: (x: number, one: One) => number;
  carry: (v: number, x: number, one: One) => number;
  gradient: (g: number, x: number, one: One) => number;
  numbers: (one: One) => Numbers;
}): Space<One> {
  const { range, free, numbers } = axis;
  const only = (values: DataRows) => values[0] as number;
  return {
    range,
    ends: (x, one) => axis.ends(only(x), one),
    free: (x, [from, to], one) => x.fill(free ? free(only(x), one) : Math.log(from / to)),
    bound: (y, one) => y.fill(axis.bound(only(y), one)),
    logDeterminant: (x, one) => axis.logSlope(only(x), one),
    carry: (v, x, one) => v.fill(axis.carry(only(v), only(x), one)),
    gradient: (g, x, one) => g.fill(axis.gradient(g[0] as number, only(x), one)),
    numbers,
  };
}

/** Degrees from a pole → the part of the sphere that is nearer to it, sin²(θ/2). */
const partOfSphere = (degrees: number) => Math.sign(degrees) * Math.sin((degrees * Math.PI) / 360) ** 2;

/** Of a latitude in degrees, with all digits next to the poles. */
const cosine = (latitude: number) => Math.sin(((90 - Math.abs(latitude)) * Math.PI) / 180);

const simplex: Space<Of<"simplex">> = {
  range: () => "as parts above 0 whose sum is below 1",
  ends: (x) => [x[0] as number, x.reduce((left, part) => (part > 0 ? left - part : Number.NaN), 1)],
  free: (x, [, rest]) => x.set(x.map((part) => Math.log(part / rest))),
  bound(y) {
    const most = Math.max(0, ...y);
    const sum = y.reduce((all, value) => all + Math.exp(value - most), Math.exp(-most));
    y.set(y.map((value) => Math.exp(value - most) / sum));
  },
  logDeterminant(x) {
    let [value, rest] = [0, 1];
    for (const part of x) {
      rest -= part;
      value -= Math.log(part);
    }
    return value - Math.log(rest);
  },
  carry(v, x) {
    const mean = v.reduce((sum, value, i) => sum + value * (x[i] as number), 0);
    v.set(v.map((value, i) => (x[i] as number) * (value - mean)));
  },
  gradient(g, x) {
    let rest = 1;
    for (const part of x) rest -= part;
    const common = g.reduce((sum, value) => sum + value, 1) / rest;
    g.set(g.map((value, i) => (value - 1) / (x[i] as number) + common));
  },
  numbers: ({ size }) => [3, size, 0, leastNormal, 1 - 2 ** -24],
};

const spaces: { readonly [K in Kind]: Space<Of<K>> } = {
  interval: ofAxis({
    range: ({ low, high }) => `between ${low} and ${high}, without these`,
    ends: (x, { low, high }) => [x - low, high - x],
    bound(y, { low, high }) {
      // from the end that is nearer, whose digits count
      const part = (high - low) / (1 + Math.exp(Math.abs(y)));
      return y < 0 ? low + part : high - part;
    },
    logSlope: (x, { low, high }) => Math.log((high - low) / (x - low) / (high - x)),
    carry: (v, x, { low, high }) => v * (((x - low) * (high - x)) / (high - low)),
    gradient: (g, x, { low, high }) => (g * (high - low)) / (x - low) / (high - x) - 1 / (x - low) + 1 / (high - x),
    numbers: ({ low, high }) => [1, low, high, nextSingle(low, 1), nextSingle(high, -1)],
  }),
  positive: ofAxis({
    range: () => "above 0",
    ends: (x) => [x, 1],
    bound: Math.exp,
    logSlope: (x) => -Math.log(x),
    carry: (v, x) => v * x,
    gradient: (g, x) => (g - 1) / x,
    numbers: () => [2, 0, 0, leastNormal, Number.POSITIVE_INFINITY],
  }),
  simplex,
  circular: ofAxis({
    range: () => "as a finite angle",
    ends: (x) => [1, Number.isFinite(x) ? 1 : Number.NaN],
    // from −2 to 2, where `low` and `low` + `period` are
    free(x, { period, low = 0 }) {
      const turns = (x - low) / period;
      return turn * (turns - Math.floor(turns) - 0.5);
    },
    bound(y, { period, low = 0 }) {
      const turns = y / turn + 0.5;
      return low + period * (turns - Math.floor(turns));
    },
    logSlope: (_, { period }) => Math.log(turn / period),
    carry: (v, _, { period }) => (v * period) / turn,
    gradient: (g, _, { period }) => (g * turn) / period,
    numbers: ({ period, low = 0 }) => [4, low, period, low, nextSingle(low + period, -1)],
  }),
  latitude: ofAxis({
    range: () => "between -90 and 90 degrees, without the poles",
    ends: (x) => [partOfSphere(90 + x), partOfSphere(90 - x)],
    bound: (y) => (180 / Math.PI) * Math.atan(Math.sinh(y / 2)),
    logSlope: (x) => Math.log(Math.PI / 90 / cosine(x)),
    carry: (v, x) => v * cosine(x) * (90 / Math.PI),
    gradient: (g, x) => ((2 * g + Math.sin((x * Math.PI) / 180)) * Math.PI) / 180 / cosine(x),
    numbers: () => [5, -90, 90, nextSingle(-90, 1), nextSingle(90, -1)],
  }),
};

export const spaceOf = (one: NonNullable<AxisTransform>) => spaces[one.kind] as Space<NonNullable<AxisTransform>>;

/** The f32 next to one, above it (1) or below it (−1). */
function nextSingle(value: number, way: 1 | -1): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  if (Math.fround(value) === 0) return way * leastNormal;
  bits[0] = (bits[0] as number) + (value > 0 ? way : -way);
  return new Float32Array(bits.buffer)[0] as number;
}
