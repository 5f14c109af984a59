import { goalStruct } from "../../shaders/adaptive-steps.ts";
import type { Dispatch, PlannedBuffer, Rounds } from "../gpu/kernel.ts";
import { adaptiveKernels, adaptiveNames, type GatherShape, type Round, solveRows } from "../kernels/adaptive.ts";
import { item, must } from "../must.ts";
import { adaptiveSolvers } from "../solvers/pairs.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, integralsOf, names, padded } from "./engine.ts";
import type { AdaptiveRule } from "./grid.ts";

/** Evaluations of the field that a particle is expected to take, for sizing chunks before anything is known. */
export const expectedEvaluations = 62;

/** Steps that a round tries for each particle at most: those that end early wait for the others. */
const mostTries = 8;

const noSave = 0xffffffff;

/** What a chunk's adaptive solve needs. It starts from the engine's `state`, and `base` where log p is carried. */
interface AdaptivePlan {
  readonly buffers: PlannedBuffer[];
  readonly rounds: Rounds;
  /** The last state, or the one at grid time `at` which was saved as number `save`, back into `state` and `integral`. */
  restore(save?: number, at?: number): Dispatch;
  report(): Dispatch;
}

/** Floats per particle of its buffers, and of the widest of them. */
export function adaptiveFloats(
  dim: number,
  rows: number,
  saves: number,
  stages: number,
): { all: number; widest: number } {
  const solve = solveRows(dim + rows, stages);
  const saved = saves * (dim + rows);
  return { all: solve + saved + 2 * dim + 2 * rows * (1 + dim) + 5, widest: Math.max(solve, saved) };
}

/**
 * Solves each particle with steps of its own (Hairer, Nørsett & Wanner I, §II.4).
 * A round tries a few steps for all particles that are at work and lists those that still are; the next one evaluates no others.
 * `times` are those to land on, from the start to the end; `save[k]` is the index of the k-th time to save; `base` names log p at
 * the start, where it is known then: the tolerance of log p is relative to it.
 */
export function adaptivePlan(
  engine: Engine,
  chunk: Chunk,
  conditions: Conditions,
  mode: DivergenceMode,
  { method, ...rule }: AdaptiveRule,
  times: Float64Array,
  save: readonly number[],
  base: string | undefined,
): AdaptivePlan {
  const { dim } = engine;
  const { capacity, count } = chunk;
  const rows = mode.mode === "none" ? 0 : integralsOf(mode);
  const solver = adaptiveSolvers[method];
  const stages = solver.error.length;
  const goals = times.length - 1;
  const start = item(times, 0);
  const o = { capacity, count, dim, rows, solver, ...rule, start, span: item(times, goals) - start, goals };
  const kernels = adaptiveKernels(o, { ...names, base });

  /** Values that belong to particles, and where they lie in the order of the list. */
  const contextWidth = conditions.context ? engine.contextWidth : 0;
  const home = (name: string) => `adaptive ${name}`;
  const belongings: GatherShape[] = [];
  const add = (name: string, rowsOf: number, each: number, fromRow: number, toRow: number) =>
    belongings.push({ from: home(name), to: name, rows: rowsOf, fromRow, toRow, each });
  const belongingsOf = (stride: number): readonly GatherShape[] => {
    belongings.length = 0;
    if (mode.mode === "probes") add(names.probes, mode.count * dim, 1, capacity, stride);
    if (conditions.labels) add("labels", 1, 1, 1, 1);
    if (contextWidth > 0) add("context", contextWidth, contextWidth, 1, 1);
    return belongings;
  };

  const { words, at } = goalStruct;
  const goalWords = new Float32Array(words * Math.max(1, goals));
  const goalBits = new Uint32Array(goalWords.buffer);
  for (let goal = 0; goal < goals; goal++) {
    goalWords[words * goal + at.time] = item(times, goal + 1);
    const saves = save.indexOf(goal + 1);
    goalBits[words * goal + at.saved] = saves < 0 ? noSave : saves;
  }
  const row = capacity * 4;
  const buffers: PlannedBuffer[] = [
    { name: adaptiveNames.solve, bytes: solveRows(dim + rows, stages) * row },
    { name: adaptiveNames.goals, bytes: goalWords.byteLength, data: goalBits },
    { name: adaptiveNames.saved, bytes: Math.max(16, save.length * (dim + rows) * row) },
    ...adaptiveNames.lists.map((name) => ({ name, bytes: row })),
    { name: adaptiveNames.lengths, bytes: 8 },
    { name: adaptiveNames.totals, bytes: 12, data: new Uint32Array(3) },
    { name: adaptiveNames.status, bytes: count * 4 },
    { name: names.times, bytes: row },
    { name: names.velocity, bytes: dim * row },
    { name: names.divergence, bytes: Math.max(1, rows) * row },
    ...(mode.mode === "probes" ? [{ name: home(names.probes), bytes: mode.count * dim * row }] : []),
    ...engine
      .buffers(chunk, conditions, mode)
      .filter(({ name }) => name === "labels" || name === "context")
      .map((buffer) => ({ ...buffer, name: home(buffer.name) })),
  ];

  function next(index: number, particles: number, maxFlops: number): ReturnType<Rounds["next"]> {
    const list = (index % 2) as 0 | 1;
    const stride = index === 0 ? capacity : padded(particles);
    const round: Round = { list, particles, stride };
    const part: Chunk = { start: chunk.start, count: particles, capacity: stride, maxFlops };
    const evaluate = () => engine.evaluate(part, conditions, rows > 0 ? "both" : "velocity", mode);
    const dispatches: Dispatch[] = [];
    if (index === 0) {
      dispatches.push(kernels.begin(round));
      if (mode.mode === "probes") {
        const rowsOf = mode.count * dim;
        const to = home(names.probes);
        const copy = { from: names.probes, to, rows: rowsOf, fromRow: capacity, toRow: capacity, each: 1 };
        dispatches.push(kernels.gather(round, copy));
      }
      for (const which of ["probe", "size"] as const) dispatches.push(...evaluate(), kernels.start(round, which));
    } else {
      for (const shape of belongingsOf(stride)) dispatches.push(kernels.gather(round, shape));
      dispatches.push(...engine.begin(part, conditions));
    }
    const tries = Math.floor((2 * maxFlops) / ((stages - 1) * stride * engine.divergenceFlops(mode)));
    for (let k = Math.max(1, Math.min(mostTries, tries)); k > 0; k--) {
      for (let stage = 1; stage < stages; stage++) dispatches.push(kernels.stage(round, stage), ...evaluate());
      dispatches.push(kernels.control(round));
    }
    dispatches.push(...kernels.compact(round));
    return { dispatches, left: { buffer: adaptiveNames.lengths, offset: 4 * (1 - list) } };
  }

  return {
    buffers,
    rounds: { particles: count, next },
    restore: (k, at) =>
      k === undefined ? kernels.restore() : kernels.restore(k, must(at, "the grid time of a saved state") - 1),
    report: kernels.report,
  };
}
