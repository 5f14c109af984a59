import type { Flow, Solver } from "pushforward";
import { blocks, type Transform } from "../../src/data/transform.ts";
import { dataVelocities } from "../../src/data/transform-derivatives.ts";
import { rowsInFlow, rowsInside } from "../../src/data/transform-maps.ts";
import { item, must } from "../../src/must.ts";
import { isAdaptive } from "../arguments.ts";
import { type ChosenConditions, type Conditions, chosenConditions } from "../conditions.ts";
import { arrows } from "./arrows.ts";
import type { Panel } from "./figure.ts";
import { cellCentres, emptyGrid, type Grid, type Points, type Range } from "./grid.ts";
import type { Frame } from "./histogram.ts";

/** What a picture of a flow is asked for. */
export interface FlowView {
  readonly solver: Solver;
  readonly chosen: ChosenConditions;
  readonly conditions: Conditions;
  /** Of the density and of the velocities. */
  readonly at: number;
  /** Trajectories that are drawn. */
  readonly count: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { done: number; total: number }) => void;
}

const sizesOf = ({ velocitySpec: v }: Flow) => (v.kind === "wgsl" ? { classes: 0, context: 0 } : v);

/** Where lines bend that have steps of their own. */
const drawnTimes = Array.from({ length: 65 }, (_, k) => k / 64);

/** Trajectories of samples, in units of the data: what they end in, and the line of each. */
export async function trajectories(
  flow: Flow,
  view: FlowView,
): Promise<{ points: Points; lines: Float32Array[]; all: Points }> {
  const { solver, count, seed, signal } = view;
  const given = chosenConditions(view.chosen, view.conditions, sizesOf(flow));
  const samples = await flow.sample(count, {
    ...given,
    solver,
    seed,
    signal,
    saveAt: typeof solver.method === "string" && isAdaptive(solver.method) ? drawnTimes : "steps",
    output: "float64",
  });
  const { dim } = flow;
  const saved = must(samples.saved, "what samples passed");
  const times = must(samples.times, "the times of what samples passed");
  const lines = Array.from({ length: count }, (_, i) =>
    Float32Array.from({ length: 2 * times.length }, (_, k) => item(saved, ((k >> 1) * count + i) * dim + (k & 1))),
  );
  return { points: { data: samples.x, dim }, lines, all: { data: saved, dim } };
}

/** Samples, for axes that hold them. */
export async function samplePoints(flow: Flow, view: FlowView, count: number): Promise<Points> {
  const { solver, seed, signal } = view;
  const given = chosenConditions(view.chosen, view.conditions, sizesOf(flow));
  const { x } = await flow.sample(count, {
    ...given,
    solver,
    seed,
    signal,
    output: "float64",
    ...(view.at > 0 && { to: view.at }),
  });
  return { data: x, dim: flow.dim };
}

/**
 * The ranges of a frame of a flow's two columns, of which those that are circular end after a turn: in more, a density would be counted
 * twice. Undefined where none does.
 */
export function withinTurns(transform: Transform | undefined, { x, y }: Frame): { x: Range; y: Range } | undefined {
  const ranges: [Range, Range] = [x, y];
  let changed = false;
  for (const [axis, one] of transform ? blocks(transform) : []) {
    if (one.kind !== "circular") continue;
    const [low, high] = item(ranges, axis);
    const { period, low: start = 0 } = one;
    if (high - low <= period) continue;
    const margin = period / 16;
    const isOwn = low >= start - margin && high <= start + period + margin;
    const from = isOwn ? start : (low + high - period) / 2;
    ranges[axis] = [from, from + period];
    changed = true;
  }
  return changed ? { x: ranges[0], y: ranges[1] } : undefined;
}

/** p_t at the centres of the cells of a frame. */
export async function densityPanel(
  flow: Flow,
  view: FlowView,
  { x, y, cell }: Frame,
): Promise<{ grid: Grid; mass: number }> {
  const columns = Math.max(1, Math.round((x[1] - x[0]) / cell[0]));
  const rows = Math.max(1, Math.round((y[1] - y[0]) / cell[1]));
  const { labels, context, guidance } = chosenConditions(view.chosen, view.conditions, sizesOf(flow));
  const { solver, at, signal, onProgress } = view;
  const { density, mass } = await flow.densityGrid({
    box: [[...x], [...y]],
    cells: [columns, rows],
    solver,
    at,
    signal,
    ...(onProgress && { onProgress }),
    ...(labels && { label: item(labels, 0) }),
    ...(context && { context }),
    ...(guidance !== undefined && { guidance }),
  });
  const grid = emptyGrid(columns, rows, x, y);
  // the library's cells run along y first
  for (let i = 0; i < columns; i++)
    for (let j = 0; j < rows; j++) {
      const value = item(density, i * rows + j);
      grid.values[j * columns + i] = Number.isFinite(value) ? value : 0;
    }
  return { grid, mass };
}

const arrowsAlong = 24;

/** The velocities of a flow of two columns at a time, as arrows. */
export async function fieldPanel(
  flow: Flow,
  view: FlowView,
  { x, y }: Frame,
): Promise<Pick<Panel, "lines" | "strong">> {
  const grid = emptyGrid(arrowsAlong, arrowsAlong, x, y);
  const centres = Float64Array.from(cellCentres(grid));
  // nothing moves outside the data's space
  const { inside, rows } = rowsInside(centres, flow.transform ?? [null, null]);
  const given = chosenConditions(view.chosen, view.conditions, sizesOf(flow));
  const own = rowsInFlow("plot", "centres", rows, flow);
  const inFlow = await flow.velocity(own, view.at, { ...given, signal: view.signal });
  const velocity = dataVelocities(rows, inFlow, 2, flow);
  const vectors = new Float32Array(centres.length);
  for (const [k, i] of inside.entries()) vectors.set(velocity.subarray(2 * k, 2 * k + 2), 2 * i);
  return { lines: arrows(grid, vectors), strong: true };
}
