import { invalid } from "../errors.ts";
import { isBuffer } from "../flow/rows.ts";
import { type Check, type Checked, checked, finite, integer, type Schema } from "../options/schema.ts";
import { show } from "../options.ts";

/** Red, green, blue and, unless it is 1, how much it covers; from 0 to 1, in sRGB. */
export type Colour = readonly [r: number, g: number, b: number, a?: number];

/**
 * Each particle has the colour of the place that it came from: the hue is the angle of x_0 about `centre`, strong from a distance of
 * `scale` on; in OKLCH (Ottosson 2020), where all hues are equally light.
 */
export interface OriginColours {
  /** x_0 of the particles, [count, dim], as `output: "gpu"` gives it. */
  origin: GPUBuffer;
  /** The place that is grey, in the flow's own space. Default [0, 0]. */
  centre?: readonly [number, number];
  /** Default 1. */
  scale?: number;
  /** From 0 to 1. Default 0.6; more for dark backgrounds. */
  lightness?: number;
}

export interface Particles {
  /** States in data units, [count, dim]; or at equal times, [frames, count, dim], as `saveAt` with `output: "gpu"` gives them. */
  states: GPUBuffer;
  count: number;
  /** Default 2. */
  dim?: number;
  /** The two of the dim axes that are drawn, across and up. Default [0, 1]. */
  axes?: readonly [number, number];
  /** Times that `states` has. Default 1. */
  frames?: number;
  /** The time that is shown, from 0, the first of the frames, to 1, the last; between two frames particles go straight. Default 1. */
  time?: number;
  /** Share of the time over which streaks behind the particles show where they were. Default 0, which is none. */
  trail?: number;
  /** Of a particle, in pixels of the canvas. Default: the more particles, the smaller. */
  radius?: number;
  /** One for all, or each its own. Default: blue. Without a fourth number they cover less the more they are. */
  colour?: Colour | OriginColours;
}

/** A density as a shade of √p, with a line for each nat of log p. */
export interface DensityRelief {
  /** log p at the corners of a square grid, rows from below: `logProb` of `flow.logProb(corners, { output: "gpu" })`. */
  logProb: GPUBuffer;
  /** Corners along a side. */
  side: number;
  /** The middle of the grid and half of its side, in data units. Default: those of the picture. */
  centre?: readonly [number, number];
  half?: number;
  /** log p that has the full shade. Default −1.3, about the most of a Gaussian of variance 1 in each direction. */
  reference?: number;
  /** Default: grey. */
  shade?: Colour;
  line?: Colour;
}

export interface ParticlePicture {
  /** What is at the middle of the canvas, in data units. Default [0, 0]. */
  centre?: readonly [number, number];
  /** Half of the canvas' shorter side, in data units. Default 4. */
  half?: number;
  /** Default: white. */
  background?: Colour;
  /** Behind the particles. */
  density?: DensityRelief;
  /** From behind to the front. */
  particles?: readonly Particles[];
}

const numbers =
  (kind: string, least: number, most: number, lowest = Number.NEGATIVE_INFINITY, highest = Number.POSITIVE_INFINITY) =>
  <V>(name: string, value: unknown): V => {
    const isOne = (n: unknown) => typeof n === "number" && n >= lowest && n <= highest && Number.isFinite(n);
    if (Array.isArray(value) && value.length >= least && value.length <= most && value.every(isOne)) return value as V;
    throw invalid(`${name} is ${show(value)}, but it is ${kind}`);
  };

const pair: Check<readonly [number, number]> = numbers("two finite numbers: pass [x, y]", 2, 2);
const colour: Check<Colour> = numbers("three or four numbers from 0 to 1: pass [red, green, blue]", 3, 4, 0, 1);
const positive: Check<number> = (name, value) => {
  const number = finite(0)(name, value);
  if (number === 0) throw invalid(`${name} is 0, but it is positive`);
  return number;
};

export const storageUsage = 0x80;
const vertexUsage = 0x20;

const bufferWith =
  (usage: number, word: string): Check<GPUBuffer> =>
  (name, value) => {
    if (!isBuffer(value))
      throw invalid(`${name} is ${show(value)}, but it is a GPUBuffer: ask the flow for output: "gpu"`);
    if ((value.usage & usage) === 0)
      throw invalid(`${name} is a GPUBuffer without the usage ${word}: create it with GPUBufferUsage.${word}`);
    return value;
  };

const axes: Check<readonly [number, number]> = (name, value) => {
  const two = pair(name, value);
  for (const [i, axis] of two.entries()) integer(0)(`${name}[${i}]`, axis);
  return two;
};

const colours: Check<Colour | OriginColours> = (name, value) => {
  if (Array.isArray(value)) return colour(name, value);
  return checked(name, originFields, value as OriginColours, `${name}.`);
};

const originFields = {
  origin: { check: bufferWith(vertexUsage, "VERTEX"), required: true },
  centre: { check: pair, fallback: [0, 0] },
  scale: { check: positive, fallback: 1 },
  lightness: { check: finite(0, 1), fallback: 0.6 },
} satisfies Schema<OriginColours>;

/** A vertex buffer's stride has 2048 bytes at most. */
const mostAxes = 512;

const particlesFields = {
  states: { check: bufferWith(vertexUsage, "VERTEX"), required: true },
  count: { check: integer(0), required: true },
  dim: { check: integer(1, mostAxes), fallback: 2 },
  axes: { check: axes, fallback: [0, 1] },
  frames: { check: integer(1), fallback: 1 },
  time: { check: finite(0, 1), fallback: 1 },
  trail: { check: finite(0, 1), fallback: 0 },
  radius: { check: positive },
  colour: { check: colours, fallback: [0.24, 0.31, 0.72] },
} satisfies Schema<Particles>;

const reliefFields = {
  logProb: { check: bufferWith(storageUsage, "STORAGE"), required: true },
  side: { check: integer(2), required: true },
  centre: { check: pair },
  half: { check: positive },
  reference: { check: finite(), fallback: -1.3 },
  shade: { check: colour, fallback: [0.73, 0.75, 0.82] },
  line: { check: colour, fallback: [0.42, 0.45, 0.53, 0.55] },
} satisfies Schema<DensityRelief>;

type CheckedParticles = Omit<Checked<typeof particlesFields>, "colour"> & {
  readonly colour: Colour | Checked<typeof originFields>;
};

const relief: Check<Checked<typeof reliefFields>> = (name, value) => {
  const own = checked(name, reliefFields, value as DensityRelief, `${name}.`);
  room(`${name}.logProb`, own.logProb, own.side ** 2, `a grid of ${own.side}²`);
  return own;
};

const particles: Check<readonly CheckedParticles[]> = (name, value) => {
  if (!Array.isArray(value)) throw invalid(`${name} is ${show(value)}, but it is a list: pass [{ states, count }]`);
  return value.map((one: Particles, k) => {
    const at = `${name}[${k}]`;
    const own = checked(at, particlesFields, one, `${at}.`) as CheckedParticles;
    const { states, count, dim, frames, colour } = own;
    for (const [i, axis] of own.axes.entries())
      if (axis >= dim)
        throw invalid(
          `${at}.axes[${i}] is ${axis}, but particles of dim ${dim} have axes 0 to ${dim - 1}: pass dim, or other axes`,
        );
    const words = `${count} particles of dim ${dim}`;
    room(`${at}.states`, states, frames * count * dim, frames === 1 ? words : `${frames} frames of ${words}`);
    if (!isColour(colour)) room(`${at}.colour.origin`, colour.origin, count * dim, words);
    return own;
  });
};

function room(name: string, buffer: GPUBuffer, values: number, words: string): void {
  if (buffer.size < 4 * values)
    throw invalid(
      `${name} is a GPUBuffer of ${buffer.size} bytes, but ${words} take ${4 * values}: pass what it holds`,
    );
}

const pictureFields = {
  centre: { check: pair, fallback: [0, 0] },
  half: { check: positive, fallback: 4 },
  background: { check: colour, fallback: [1, 1, 1] },
  density: { check: relief },
  particles: { check: particles, fallback: [] },
} satisfies Schema<ParticlePicture>;

export type CheckedPicture = ReturnType<typeof checkedPicture>;
export type { CheckedParticles };
export type CheckedRelief = Checked<typeof reliefFields>;

export const isColour = (colour: Colour | object): colour is Colour => Array.isArray(colour);

/** Throws `invalid-argument` for what cannot be drawn. */
export function checkedPicture(picture: ParticlePicture) {
  return checked("draw", pictureFields, picture);
}
