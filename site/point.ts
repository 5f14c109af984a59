// A point that was asked for: its way from the source and to the target, its log p with the error of the solver; and arrows.
import type { Flow, Normalization } from "pushforward";
import type { Point } from "./stage.ts";
import type { View } from "./targets.ts";

export interface Answer {
  readonly path: { before: Point[]; after: Point[]; point: Point };
  /** log p, and how much twice as many steps change it. */
  readonly density: { logProb: number; error: number } | undefined;
}

const stepsOfAll = 48;

const pointsOf = (values: ArrayLike<number>, normalization: Normalization): Point[] =>
  Array.from({ length: values.length / 2 }, (_, k) => {
    const at = (axis: 0 | 1) =>
      (normalization.mean[axis] as number) + (normalization.scale[axis] as number) * (values[2 * k + axis] as number);
    return [at(0), at(1)];
  });

/** `time` is that of the picture: the point is one of p_t. A flow from rows has no density. */
export async function answerOf(
  flow: Flow,
  normalization: Normalization,
  point: Point,
  time: number,
  hasDensity: boolean,
): Promise<Answer> {
  const { mean, scale } = normalization;
  const own = Float32Array.from(point, (value, axis) => (value - (mean[axis] as number)) / (scale[axis] as number));
  const steps = Math.max(2, Math.ceil(stepsOfAll * time));
  const rest = Math.max(2, Math.ceil(stepsOfAll * (1 - time)));
  const way = async (to: number, count: number): Promise<Point[]> => {
    if (to === time) return [point];
    const solver = { method: "midpoint", steps: count } as const;
    const { saved } = await flow.push(own, { from: time, to, solver, saveAt: "steps" });
    return saved ? pointsOf(saved, normalization) : [];
  };
  const logProb = async (count: number) => {
    const solver = { method: "midpoint", steps: count } as const;
    const [value = Number.NaN] = (await flow.logProb(Float32Array.from(point), { at: time, solver })).logProb;
    return value;
  };
  const ways = Promise.all([way(0, steps), way(1, rest)]);
  const logProbs = hasDensity ? Promise.all([logProb(steps), logProb(2 * steps)]) : undefined;
  const [[before, after], found] = await Promise.all([ways, logProbs]);
  return {
    path: { before: before.reverse(), after, point },
    density: found && { logProb: found[1], error: Math.abs(found[1] - found[0]) },
  };
}

const arrowsAside = 15;

/** The velocity at the middles of a grid, in data units, scaled so that the longest arrow spans a cell and a half. */
export async function arrowsOf(
  flow: Flow,
  { mean, scale }: Normalization,
  { centre, half }: View,
  time: number,
): Promise<{ at: Point; by: Point }[]> {
  const cell = (2 * half) / arrowsAside;
  const middles = Array.from(
    { length: arrowsAside ** 2 },
    (_, k): Point => [
      centre[0] - half + cell * ((k % arrowsAside) + 0.5),
      centre[1] - half + cell * (Math.floor(k / arrowsAside) + 0.5),
    ],
  );
  const own = Float32Array.from(
    middles.flat(),
    (value, i) => (value - (mean[i % 2] as number)) / (scale[i % 2] as number),
  );
  const u = await flow.velocity(own, time);
  const by = middles.map(
    (_, k): Point => [(u[2 * k] as number) * (scale[0] as number), (u[2 * k + 1] as number) * (scale[1] as number)],
  );
  const lengths = by.map(([x, y]) => Math.hypot(x, y)).sort((a, b) => a - b);
  const longest = lengths[Math.floor(0.95 * lengths.length)] || 1;
  const shrink = (length: number) => (1.1 * cell * Math.min(1, length / longest)) / Math.max(length, 1e-9);
  return middles.map((at, k) => {
    const [x, y] = by[k] as Point;
    const factor = shrink(Math.hypot(x, y));
    return { at, by: [factor * x, factor * y] };
  });
}
