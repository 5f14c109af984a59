import {
  adaptiveWorkgroup,
  beginKernel,
  clearLengthKernel,
  compactKernel,
  controlKernel,
  gatherKernel,
  type Pair,
  reportKernel,
  restoreKernel,
  stageKernel,
  startKernel,
} from "../../shaders/adaptive.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, f32, type Kernel, packParams, u32 } from "../gpu/kernel.ts";
import { item } from "../must.ts";

export { solveRows, statuses } from "../../shaders/adaptive.ts";

/** Names of the buffers of an adaptive solve beside those of its engine. */
export const adaptiveNames = {
  solve: "adaptive solve", // [solveRows][capacity]
  goals: "adaptive goals", // a time and what it saves, two words each
  saved: "adaptive saved", // [goals][components][capacity]
  lists: ["adaptive list 0", "adaptive list 1"], // [capacity]
  lengths: "adaptive lengths", // of both lists
  totals: "adaptive totals", // accepted, rejected, the most of both
  status: "status", // [count]
} as const;

/** One solve, as its kernels see it. */
export interface AdaptiveSolve {
  readonly solver: Pair;
  readonly capacity: number;
  readonly count: number;
  readonly dim: number;
  /** Integrals beside the state: one per probe, or one; 0 without log p. */
  readonly rows: number;
  readonly rtol: number;
  readonly atol: number;
  readonly start: number;
  readonly span: number;
  readonly maxSteps: number;
  readonly goals: number;
}

/** The particles at work in one round: which list, and the row length of what the engine evaluates. */
export interface Round {
  readonly list: 0 | 1;
  readonly particles: number;
  readonly stride: number;
}

/** A step is too small where the time, an f32, would hardly move. */
const leastShare = 2 ** -21;

const noMember = 0xffffffff;

function dispatch(
  kernel: Kernel,
  buffers: readonly (string | undefined)[],
  particles: number,
  work: number,
  params: Uint8Array,
): Dispatch {
  return {
    kernel,
    buffers: buffers.filter((name) => name !== undefined),
    params,
    workgroups: gridOf(Math.ceil(particles / adaptiveWorkgroup)),
    flops: particles * work,
  };
}

function paramsOf(o: AdaptiveSolve, round: Round, more: { count?: number; stage?: number } = {}): Uint8Array {
  const stage = more.stage ?? 0;
  const { a, c } = o.solver;
  return packParams([
    u32(o.capacity),
    u32(round.stride),
    u32(o.dim),
    u32(o.rows),
    u32(round.list),
    u32(1 - round.list),
    u32(more.count ?? o.count),
    u32(stage),
    f32(o.rtol),
    f32(o.atol),
    f32(o.start),
    f32(o.span),
    f32(leastShare * Math.abs(o.span)),
    u32(o.maxSteps),
    u32(o.goals),
    f32(item(c, stage)),
    // zeros from the diagonal on
    ...Array.from({ length: c.length - 1 }, (_, j) => f32(item(a, stage)[j] ?? 0)),
  ]);
}

/** Dispatches of adaptive solves; `names` are the buffers of the engine. */
export function adaptiveKernels(
  o: AdaptiveSolve,
  names: {
    state: string;
    times: string;
    velocity: string;
    divergence: string;
    integral: string;
    base?: string | undefined;
  },
) {
  const { solve, goals, saved, lists, lengths, totals, status } = adaptiveNames;
  const { order, error } = o.solver;
  const stages = error.length;
  const tracks = o.rows > 0;
  const n = o.dim + o.rows;
  const divergence = tracks ? names.divergence : undefined;
  const listOf = ({ list }: Round) => lists[list];
  return {
    begin: (round: Round): Dispatch =>
      dispatch(
        beginKernel({ based: names.base !== undefined, stages }),
        [solve, names.base, names.state, listOf(round), lengths, names.times],
        o.capacity,
        4 * n,
        paramsOf(o, round),
      ),
    start(round: Round, part: "probe" | "size"): Dispatch {
      const own = part === "probe" ? [names.state, names.times] : [goals];
      return dispatch(
        startKernel({ tracks, part, stages, order }),
        [solve, divergence, names.velocity, listOf(round), lengths, ...own],
        round.particles,
        20 * n,
        paramsOf(o, round),
      );
    },
    stage: (round: Round, stage: number): Dispatch =>
      dispatch(
        stageKernel({ tracks, stages }),
        [solve, divergence, names.velocity, listOf(round), lengths, names.state, names.times],
        round.particles,
        4 * (stage + 2) * n,
        paramsOf(o, round, { stage }),
      ),
    control: (round: Round): Dispatch =>
      dispatch(
        controlKernel({ tracks, order, error }),
        [solve, divergence, names.velocity, listOf(round), lengths, goals, saved],
        round.particles,
        40 * n,
        paramsOf(o, round),
      ),
    /** Lists anew who is still at work, in the other list. */
    compact: (round: Round): Dispatch[] => [
      {
        kernel: clearLengthKernel({ whole: true }),
        buffers: [lengths],
        params: packParams([u32(1 - round.list)]),
        workgroups: [1],
        flops: 1,
      },
      dispatch(
        compactKernel({ stages }),
        [solve, listOf(round), lengths, lists[1 - round.list]],
        round.particles,
        4,
        paramsOf(o, round),
      ),
    ],
    /** to[j, p] = from[j, list[p]] for `rows` rows, whose particles lie `each` values apart. */
    gather: (round: Round, { from, to, rows, fromRow, toRow, each }: GatherShape): Dispatch =>
      dispatch(
        gatherKernel({ whole: true }),
        [from, listOf(round), lengths, to],
        round.particles,
        2 * rows,
        packParams([u32(round.list), u32(rows), u32(fromRow), u32(toRow), u32(each)]),
      ),
    /** The last state, or the one that goal `goal` has saved as number `save`, into the engine's state and integral. */
    restore: (save = noMember, goal = 0): Dispatch =>
      dispatch(
        restoreKernel({ tracks, stages }),
        [solve, saved, names.state, tracks ? names.integral : undefined],
        o.capacity,
        2 * n,
        paramsOf(o, { list: 0, particles: 0, stride: o.capacity }, { count: save, stage: goal }),
      ),
    report: (): Dispatch =>
      dispatch(
        reportKernel({ stages }),
        [solve, status, totals],
        o.count,
        6,
        paramsOf(o, { list: 0, particles: 0, stride: o.capacity }),
      ),
  };
}

export interface GatherShape {
  readonly from: string;
  readonly to: string;
  readonly rows: number;
  readonly fromRow: number;
  readonly toRow: number;
  readonly each: number;
}
