import {
  beginKernel,
  clearLengthKernel,
  compactKernel,
  gatherKernel,
  reportKernel,
  restoreKernel,
} from "../../shaders/adaptive.ts";
import { controlKernel, type Pair, stageKernel, startKernel } from "../../shaders/adaptive-steps.ts";
import { dispatchOf } from "../../shaders/dispatch.ts";
import { numbered } from "../../shaders/interface.ts";
import { perParticle } from "../../shaders/particles.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { item } from "../must.ts";

export { solveRows, statuses } from "../../shaders/adaptive-rows.ts";

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
interface AdaptiveSolve {
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

/** `goal` stands in the place of the stage where a goal's state is restored. */
function paramsOf(o: AdaptiveSolve, round: Round, at: { count?: number; stage?: number; goal?: number } = {}) {
  const { count = o.count, stage = 0, goal = stage } = at;
  const { capacity, dim, rows, rtol, atol, start, span, maxSteps, goals } = o;
  const { a, c } = o.solver;
  const lists = { from_list: round.list, to_list: 1 - round.list };
  // zeros from the diagonal on
  const coefficients = Array.from({ length: c.length - 1 }, (_, j) => item(a, stage)[j] ?? 0);
  return {
    capacity,
    stride: round.stride,
    dim,
    rows,
    ...lists,
    count,
    stage: goal,
    rtol,
    atol,
    start,
    span,
    goals,
    least: leastShare * Math.abs(span),
    max_steps: maxSteps,
    c: item(c, stage),
    ...numbered("a", coefficients),
  };
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
  const noRound: Round = { list: 0, particles: 0, stride: o.capacity };
  const n = o.dim + o.rows;
  const { state, times, base } = names;
  const integral = tracks ? names.integral : undefined;
  const listed = (round: Round) => ({ list: lists[round.list], lengths });
  const evaluated = (round: Round) => ({
    solve,
    velocity: names.velocity,
    ...listed(round),
    divergence: tracks ? names.divergence : undefined,
  });
  return {
    begin: (round: Round): Dispatch =>
      dispatchOf(beginKernel({ based: base !== undefined, stages }), {
        params: paramsOf(o, round),
        buffers: { solve, base, state, times, ...listed(round) },
        ...perParticle(o.capacity, 4 * n),
      }),
    start(round: Round, part: "probe" | "size"): Dispatch {
      const own = { state: undefined, times: undefined, goals: undefined };
      return dispatchOf(startKernel({ tracks, part, stages, order }), {
        params: paramsOf(o, round),
        buffers: { ...evaluated(round), ...own, ...(part === "probe" ? { state, times } : { goals }) },
        ...perParticle(round.particles, 20 * n),
      });
    },
    stage: (round: Round, stage: number): Dispatch =>
      dispatchOf(stageKernel({ tracks, stages }), {
        params: paramsOf(o, round, { stage }),
        buffers: { ...evaluated(round), state, times },
        ...perParticle(round.particles, 4 * (stage + 2) * n),
      }),
    control: (round: Round): Dispatch =>
      dispatchOf(controlKernel({ tracks, order, error }), {
        params: paramsOf(o, round),
        buffers: { ...evaluated(round), goals, saved },
        ...perParticle(round.particles, 40 * n),
      }),
    /** Lists anew who is still at work, in the other list. */
    compact: (round: Round): Dispatch[] => [
      dispatchOf(clearLengthKernel({}), {
        params: { which: 1 - round.list },
        buffers: { lengths },
        workgroups: [1],
        flops: 1,
      }),
      dispatchOf(compactKernel({ stages }), {
        params: paramsOf(o, round),
        buffers: { solve, ...listed(round), new_list: item(lists, 1 - round.list) },
        ...perParticle(round.particles, 4),
      }),
    ],
    /** to[j, p] = from[j, list[p]] for `rows` rows, whose particles lie `each` values apart. */
    gather: (round: Round, { from, to, rows, fromRow, toRow, each }: GatherShape): Dispatch =>
      dispatchOf(gatherKernel({}), {
        params: { from_list: round.list, rows, from_row: fromRow, to_row: toRow, each },
        buffers: { from_values: from, to_values: to, ...listed(round) },
        ...perParticle(round.particles, 2 * rows),
      }),
    /** The last state, or the one that goal `goal` has saved as number `save`, into the engine's state and integral. */
    restore: (save = noMember, goal = 0): Dispatch =>
      dispatchOf(restoreKernel({ tracks, stages }), {
        params: paramsOf(o, noRound, { count: save, goal }),
        buffers: { solve, saved, state, integral },
        ...perParticle(o.capacity, 2 * n),
      }),
    report: (): Dispatch =>
      dispatchOf(reportKernel({ stages }), {
        params: paramsOf(o, noRound),
        buffers: { solve, status, totals },
        ...perParticle(o.count, 6),
      }),
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
