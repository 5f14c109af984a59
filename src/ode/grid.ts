import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { checked, finite, integer, later, type Schema, single } from "../options/schema.ts";
import { checkFinite, checkWord, hint, show, singles } from "../options.ts";
import {
  type AdaptiveMethod,
  adaptiveNames,
  adaptiveStages,
  type FixedStepMethod,
  fixedNames,
  fixedSolvers,
} from "../solvers/methods.ts";
import { checkTableau, type Tableau } from "../solvers/tableau.ts";

/** How an ODE is solved: a method and its time grid. Default `{ method: "midpoint", steps: 50 }`. */
export type Solver =
  /**
   * Equal steps over the whole interval; with a `warp` p (default 1) they are equal in s, t = 1 − (1 − s)^p, so that with p > 1 they
   * become shorter towards the data, where a flow bends most.
   */
  | { method: FixedStepMethod | Tableau; steps: number; warp?: number }
  /** An explicit grid, from the start of the interval to its end. */
  | { method: FixedStepMethod | Tableau; times: number[] }
  /**
   * Every particle has steps of its own, held to rms(error / (atol + rtol·|y|)) ≤ 1 over its components, log p among them.
   * Defaults: rtol and atol 1e-5, maxSteps 1000. How each solve ended is the result's `status`.
   */
  | { method: AdaptiveMethod; rtol?: number; atol?: number; maxSteps?: number };

export const defaultSolver: Solver = { method: "midpoint", steps: 50 };

type AdaptiveGrid = Extract<Solver, { rtol?: number }>;
/** Fixed steps, of which one of two is given. */
interface FixedGrid {
  method: FixedStepMethod | Tableau;
  steps?: number;
  warp?: number;
  times?: number[];
}

// methods are looked up before it is known which of the two it is
const adaptiveFields = {
  method: { check: later<AdaptiveMethod>, required: true },
  // f32 holds seven digits, so a step cannot be held to less
  rtol: { check: finite(1e-6, 1), fallback: 1e-5 },
  atol: { check: single(1e-9, Infinity, singles), fallback: 1e-5 },
  maxSteps: { check: integer(1, 1_000_000), fallback: 1000 },
} satisfies Schema<AdaptiveGrid>;

const fixedFields = {
  method: { check: later<FixedGrid["method"]>, required: true },
  steps: { check: integer(1, 1_000_000) },
  warp: { check: finite(0.1, 10) },
  times: { check: later<number[]> },
} satisfies Schema<FixedGrid>;

/** What an adaptive step is held to: rms of error / (atol + rtol·|y|) ≤ 1, and steps that are tried at most. */
export interface AdaptiveRule {
  readonly method: AdaptiveMethod;
  readonly rtol: number;
  readonly atol: number;
  readonly maxSteps: number;
}

/** A solver bound to an interval: the tableau and the times t_0 … t_N in f64. Adaptive ones land on all of the times. */
export interface TimeGrid {
  /** Without a name, it is the caller's own. Of adaptive steps it has the name and the number of stages alone. */
  readonly tableau: Tableau & { readonly name?: string };
  readonly times: Float64Array;
  /** That of the steps; none where the times were given. */
  readonly warp?: number;
  readonly adaptive?: AdaptiveRule;
}

const closeness = 1e-6;

/**
 * s_k = s(from) + (s(to) − s(from))·(k/N) from the integer k, t_k = 1 − (1 − s_k)^warp; the ends are exactly `from` and `to`. Inner times
 * may be moved.
 */
export function steppedTimes(
  from: number,
  to: number,
  steps: number,
  warp: number,
  by = (_: number) => 0,
): Float64Array {
  const power = (value: number, exponent: number) => (warp === 1 ? value : 1 - (1 - value) ** exponent);
  const [start, end] = [power(from, 1 / warp), power(to, 1 / warp)];
  return Float64Array.from({ length: steps + 1 }, (_, k) =>
    k === 0 ? from : k === steps ? to : power(start + (end - start) * ((k + by(k)) / steps), warp),
  );
}

/** An adaptive solve: its steps are found while it runs, so the grid is what it lands on. */
function adaptiveGrid(
  what: string,
  solver: AdaptiveGrid,
  method: AdaptiveMethod,
  from: number,
  to: number,
  saveAt: SaveAt | undefined,
): TimeGrid {
  const { method: _, ...rule } = checked(`${what}: solver`, adaptiveFields, solver, `${what}: solver.`);
  if (saveAt === "steps")
    throw invalid(
      `${what}: saveAt is "steps", but with ${method} every particle has steps of its own: pass the times to save`,
    );
  const low = Math.min(from, to);
  const high = Math.max(from, to);
  const inside = Array.from(Array.isArray(saveAt) || ArrayBuffer.isView(saveAt) ? (saveAt as number[]) : []).filter(
    (time) => time > low && time < high,
  );
  const times = [...new Set(inside)].sort((a, b) => (to > from ? a - b : b - a));
  return {
    tableau: { name: method, a: [], b: new Array(adaptiveStages[method]).fill(0), c: [] },
    times: Float64Array.of(from, ...times, ...(from === to ? [] : [to])),
    adaptive: { method, ...rule },
  };
}

type SaveAt = readonly number[] | "steps";

/** The solver of that name, or the caller's own tableau. */
function tableauOf(what: string, method: unknown): TimeGrid["tableau"] | AdaptiveMethod {
  if (typeof method === "object" && method !== null) return checkTableau(`${what}: solver.method`, method);
  const name = checkWord(`${what}: solver.method`, method, [...fixedNames, ...adaptiveNames]);
  return Object.hasOwn(adaptiveStages, name) ? (name as AdaptiveMethod) : fixedSolvers[name as FixedStepMethod];
}

/** Checks a solver and lays its grid over [from, to]. */
export function timeGrid(what: string, solver: Solver, from: number, to: number, saveAt?: SaveAt): TimeGrid {
  if (typeof solver !== "object" || solver === null) {
    throw invalid(`${what}: solver is ${show(solver)}, but it is an object such as { method: "midpoint", steps: 50 }`);
  }
  const tableau = tableauOf(what, solver.method);
  if (typeof tableau === "string") return adaptiveGrid(what, solver as AdaptiveGrid, tableau, from, to, saveAt);
  const {
    steps,
    times,
    warp: given,
  } = checked(`${what}: solver`, fixedFields, solver as FixedGrid, `${what}: solver.`);
  if (steps !== undefined && times !== undefined) {
    throw invalid(
      `${what}: solver has both steps and times: pass the number of equal steps or an explicit grid, not both`,
    );
  }
  if (times !== undefined && given !== undefined)
    throw invalid(`${what}: solver has both times and warp, but a warp is of equal steps: leave it out`);
  if (times !== undefined) return { tableau, times: explicitTimes(what, times, from, to) };
  if (steps === undefined) {
    throw invalid(
      `${what}: solver has neither steps nor times: pass for example { method: ${tableau.name ? `"${tableau.name}"` : "{ a, b, c }"}, steps: 50 }`,
    );
  }
  const warp = given ?? 1;
  return { tableau, warp, times: from === to ? Float64Array.of(from) : steppedTimes(from, to, steps, warp) };
}

function explicitTimes(what: string, times: unknown, from: number, to: number): Float64Array {
  const given = readable(`${what}: solver.times`, times);
  const all: unknown[] =
    Array.isArray(given) || ArrayBuffer.isView(given) ? Array.from(given as ArrayLike<unknown>) : [];
  if (all.length < 2) throw invalid(`${what}: solver.times is ${show(times)}, but it is a list of at least two times`);
  // not Float64Array.from, which makes numbers of texts and throws at what it cannot
  const list = Float64Array.from(all, (time, k) => checkFinite(`${what}: solver.times[${k}]`, time));
  for (const [k, time] of list.entries()) {
    if (k > 0 && Math.sign(time - item(list, k - 1)) !== Math.sign(to - from)) {
      throw invalid(
        `${what}: solver.times go from ${list[k - 1]} to ${time}, but they must move strictly from ${from} towards ${to}`,
      );
    }
  }
  const tolerance = closeness * Math.abs(to - from);
  for (const [name, wanted, k] of [
    ["start", from, 0],
    ["end", to, list.length - 1],
  ] as const) {
    if (Math.abs(item(list, k) - wanted) > tolerance) {
      throw invalid(
        `${what}: solver.times ${name} at ${list[k]}, but the interval's ${name} is ${wanted}: make the grid ${name} there, or pass from and to`,
      );
    }
    list[k] = wanted;
  }
  return list;
}

/** Indices into the grid of the times to save; an unknown time is an error that names the nearest one and a step count that fits. */
export function saveIndices(
  what: string,
  grid: TimeGrid,
  given: readonly number[] | "steps" | undefined,
): number[] | undefined {
  const saveAt = readable(`${what}: saveAt`, given);
  if (saveAt === undefined) return undefined;
  const { times } = grid;
  if (saveAt === "steps") return Array.from(times.keys());
  if (typeof saveAt === "string" || !(Array.isArray(saveAt) || ArrayBuffer.isView(saveAt)))
    throw invalid(`${what}: saveAt is ${show(saveAt)}, but it is "steps" or a list of times${hint(saveAt, ["steps"])}`);
  const first = item(times, 0);
  const last = item(times, times.length - 1);
  const span = Math.abs(last - first);
  let previous = -1;
  return Array.from(saveAt, (time, i) => {
    checkFinite(`${what}: saveAt[${i}]`, time);
    let best = 0;
    for (const [k, t] of times.entries()) if (Math.abs(t - time) < Math.abs(item(times, best) - time)) best = k;
    if (Math.abs(item(times, best) - time) > closeness * span) {
      const fit = (grid.warp ?? 1) === 1 && fittingSteps((time - first) / (last - first));
      const advice = grid.adaptive
        ? `save between ${first} and ${last}`
        : fit
          ? `use solver.steps: ${fit}`
          : "use solver.times with that time in it";
      throw invalid(
        `${what}: saveAt[${i}] = ${time} is no time of the grid; the nearest is ${times[best]}: save there, or ${advice}`,
      );
    }
    if (best <= previous)
      throw invalid(
        `${what}: saveAt goes back at index ${i} (${time}): list the times in the order in which they are reached, each once`,
      );
    previous = best;
    return best;
  });
}

/** The least number of equal steps (up to 1000) that lands on a fraction of the interval. */
function fittingSteps(fraction: number): number | undefined {
  if (!(fraction > 0 && fraction < 1)) return undefined;
  for (let steps = 2; steps <= 1000; steps++) {
    if (Math.abs(fraction * steps - Math.round(fraction * steps)) < closeness * steps) return steps;
  }
  return undefined;
}
