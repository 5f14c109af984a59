import { hostArray } from "../host-array.ts";
import { checkInteger, checkWord } from "../options.ts";
import { normalPair, philox, randomIndex, seedKey, streams } from "../random/philox.ts";

/** Names of the toy sets, as in FFJORD. */
export const toyNames = [
  "8gaussians",
  "moons",
  "circles",
  "rings",
  "swissroll",
  "2spirals",
  "pinwheel",
  "checkerboard",
] as const;
export type ToyName = (typeof toyNames)[number];

/** The draws of one point: eight words of which each is used once, turned into what a set needs. */
interface Draws {
  /** Index in 0 … n − 1, from word 0. */
  choice(n: number): number;
  /** Uniform on [0, 1) from word 1, 2 or 3. */
  uniform(word: 1 | 2 | 3): number;
  /** Two independent standard normals. */
  readonly normal: readonly [number, number];
}

type Point = readonly [x: number, y: number];

/** U ∈ [0, 1) with 23 bits: the few places that need exact edges in f32 need no more, and the others do not notice. */
const unit = (bits: number) => (bits >>> 9) * 2 ** -23;

/** FFJORD's rounded √2, part of the definition of its eight Gaussians. */
const almostRootTwo = 1414 / 1000;

function ring(radius: number, turn: number, noise: number, [n0, n1]: readonly [number, number]): Point {
  const angle = 2 * Math.PI * turn;
  return [radius * Math.cos(angle) + noise * n0, radius * Math.sin(angle) + noise * n1];
}

const points: Record<ToyName, (draws: Draws) => Point> = {
  "8gaussians": ({ choice, normal: [n0, n1] }) => {
    const angle = (choice(8) * Math.PI) / 4;
    return [(4 * Math.cos(angle) + 0.5 * n0) / almostRootTwo, (4 * Math.sin(angle) + 0.5 * n1) / almostRootTwo];
  },
  moons: ({ choice, uniform, normal: [n0, n1] }) => {
    const angle = Math.PI * uniform(1);
    const [x, y] = choice(2) === 0 ? [Math.cos(angle), Math.sin(angle)] : [1 - Math.cos(angle), 0.5 - Math.sin(angle)];
    return [2 * (x + 0.1 * n0) - 1, 2 * (y + 0.1 * n1) - 0.2];
  },
  circles: ({ choice, uniform, normal }) => ring(choice(2) === 0 ? 3 : 1.5, uniform(1), 0.24, normal),
  rings: ({ choice, uniform, normal }) => ring(0.75 * (1 + choice(4)), uniform(1), 0.08, normal),
  swissroll: ({ uniform, normal: [n0, n1] }) => {
    const angle = 1.5 * Math.PI * (1 + 2 * uniform(1));
    return [(angle * Math.cos(angle) + n0) / 5, (angle * Math.sin(angle) + n1) / 5];
  },
  "2spirals": ({ choice, uniform, normal: [n0, n1] }) => {
    const r = 3 * Math.PI * Math.sqrt(uniform(1));
    const sign = choice(2) === 0 ? 1 : -1;
    const x = -r * Math.cos(r) + 0.5 * uniform(2);
    const y = r * Math.sin(r) + 0.5 * uniform(3);
    return [(sign * x) / 3 + 0.1 * n0, (sign * y) / 3 + 0.1 * n1];
  },
  pinwheel: ({ choice, normal: [n0, n1] }) => {
    const [radial, tangential] = [1 + 0.3 * n0, 0.1 * n1];
    const angle = (2 * Math.PI * choice(5)) / 5 + 0.25 * Math.exp(radial);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return [2 * (radial * c + tangential * s), 2 * (tangential * c - radial * s)];
  },
  checkerboard: ({ choice, uniform }) => {
    // with 23 bits both coordinates are exact in f32, so that no point is rounded across an edge
    const a = 4 * uniform(1) - 2;
    const b = uniform(2) - 2 * choice(2) + (Math.floor(a) & 1);
    return [2 * a, 2 * b];
  },
};

/**
 * Points of a two-dimensional toy set, `[count, 2]`, to FFJORD's definitions: "8gaussians", "moons", "circles", "rings",
 * "swissroll", "2spirals", "pinwheel", "checkerboard".
 *
 * Point i depends on the name, the seed and i alone: `toyData(name, n)` is the beginning of `toyData(name, 2 * n)`.
 *
 * @throws PushforwardError `invalid-argument` for an unknown name, a count or a seed that is no non-negative integer.
 * @example
 * import { toyData } from "pushforward";
 * const data = toyData("moons", 1000, 7);
 * console.log(data.length); // 2000
 */
export function toyData(name: ToyName, count: number, seed = 0): Float32Array {
  const point = points[checkWord("toyData: name", name, toyNames)];
  checkInteger("toyData: count", count, 0, 2 ** 30);
  const key = seedKey(seed);
  const data = hostArray(Float32Array, 2 * count, `toyData: ${count} points`, "ask for fewer");
  // philox fills four words
  const words = new Uint32Array(4);
  const noise = new Uint32Array(4);
  for (let i = 0; i < count; i++) {
    philox(i, 0, 0, streams.toyData, key, words);
    philox(i, 0, 1, streams.toyData, key, noise);
    const [x, y] = point({
      choice: (n) => randomIndex(words[0] as number, n),
      uniform: (word) => unit(words[word] as number),
      normal: normalPair(noise[0] as number, noise[1] as number),
    });
    data[2 * i] = x;
    data[2 * i + 1] = y;
  }
  return data;
}
