import { readable } from "../arrays.ts";
import { dataVelocities } from "../data/transform-derivatives.ts";
import { rowsInFlow, rowsInside } from "../data/transform-maps.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { conditionsAt } from "../ode/engine.ts";
import { partOf } from "../options/part.ts";
import { checked } from "../options/schema.ts";
import type { Progress } from "../schedule/job.ts";
import { continuityFields, fluxFields } from "./analysis-fields.ts";
import { cellConditions, checkCells, gridPoints } from "./cells.ts";
import { collect } from "./collect.ts";
import { endedLogProb } from "./ended.ts";
import { evaluate } from "./evaluation.ts";
import { type CheckedLogProb, callFields, flowTime } from "./fields.ts";
import type { ContinuityOptions, LogProbOptions } from "./options.ts";
import { scoreRequest } from "./requests.ts";
import { particleCount } from "./rows.ts";
import type { FlowOnDevice } from "./shape.ts";

/** p_t, u_t and j_t = p_t u_t at given points, all in data units. */
export interface Flux {
  /** p_t(x), [n]; NaN where an adaptive solve did not end. */
  density: Float32Array;
  /** u_t(x), [n, dim]. */
  velocity: Float32Array;
  /** j_t(x), [n, dim]; NaN where the density is. */
  flux: Float32Array;
  /** Points whose log p is NaN or infinite (−∞ where the density is 0). */
  nonFinite: number;
  /** Points with a finite log p whose adaptive solve did not end. */
  unfinished: number;
}

/** How well a flow keeps the continuity equation ∂p/∂t + div(p u) = 0 in a box. Densities are in data units. */
export interface ContinuityReport {
  /** ∂p/∂t + div(p u) of each cell, row-major over the axes, the last one fastest; NaN where a solve that it takes did not end. */
  residual: Float64Array;
  /** Adaptive solves, for the cells' centres at each time and for their faces, that did not end: what follows leaves out what they would give. */
  unfinished: number;
  /** Largest and root-mean-square |residual|, and the largest |∂p/∂t| to compare them with; NaN where no cell has one. */
  max: number;
  rms: number;
  scale: number;
  /** ∫p over the box, d/dt of it, ∮⟨j, n⟩ over its faces, and the sum of the last two, which is 0 for an exact flow. */
  mass: number;
  massRate: number;
  outflow: number;
  imbalance: number;
}

type Rest = Omit<CheckedLogProb, "at">;

async function densityAt(
  flow: FlowOnDevice,
  what: string,
  x: DataRows,
  t: number,
  options: Rest,
): Promise<Pick<Flux, "density" | "nonFinite" | "unfinished">> {
  const solved = await collect(flow, scoreRequest(flow, what, x, { ...options, at: t }), options);
  const { nonFinite, unfinished = 0 } = solved;
  return { density: endedLogProb(solved).map((value) => Math.exp(value)), nonFinite, unfinished };
}

/** See {@link Flow.flux}. */
export async function flux(
  flow: FlowOnDevice,
  given: DataRows,
  t: number,
  options: Omit<LogProbOptions, "at">,
): Promise<Flux> {
  return fluxAt(flow, "flux", given, t, checked("flux", fluxFields, options));
}

async function fluxAt(flow: FlowOnDevice, what: string, given: DataRows, t: number, options: Rest): Promise<Flux> {
  const x = readable(`${what}: x`, given);
  const n = particleCount(what, "x", x, flow.dim, "data");
  flowTime(`${what}: t`, t);
  const solved = await densityAt(flow, what, x, t, options);
  const { density } = solved;
  const { dim } = flow;
  const { onProgress } = options;
  const more = {
    ...partOf(callFields, options),
    ...(options.guidance !== undefined && { guidance: guidanceAt(options, t) }),
    // how far the call is tells the density, which takes longest
    ...(onProgress && { onProgress: (progress: Progress) => progress.compiling && onProgress(progress) }),
  };
  const { velocity: inFlow } = await evaluate(flow, "velocity", rowsInFlow(what, "x", x, flow), t, more);
  const velocity = dataVelocities(x, inFlow, dim, flow);
  const result = new Float32Array(n * dim);
  // a density for each of the n rows
  for (let k = 0; k < result.length; k++)
    result[k] = (velocity[k] as number) * (density[Math.floor(k / dim)] as number);
  return { ...solved, velocity, flux: result };
}

/** The guidance at a time, of a flow that is guided between two. */
function guidanceAt({ guidance = 1, guidanceInterval: interval }: Rest, t: number): number {
  return conditionsAt({ guidance, ...(interval && { interval }) }, t).guidance;
}

/** Times and weights of a second-order difference for d/dt at t that stays within [0, 1]. */
function timeDifference(t: number, h: number): [time: number, weight: number][] {
  if (t - h >= 0 && t + h <= 1)
    return [
      [t - h, -1 / (2 * h)],
      [t + h, 1 / (2 * h)],
    ];
  const way = t - h < 0 ? h : -h;
  return [
    [t, -1.5 / way],
    [t + way, 2 / way],
    [t + 2 * way, -0.5 / way],
  ];
}

/** Zero in a sum for what no solve has given. */
const known = (value: number): number => (Number.isNaN(value) ? 0 : value);

/** See {@link Flow.continuity}: finite volumes (LeVeque 2002, ch. 4), with the flux at the centres of the cells' faces. */
export async function continuity(flow: FlowOnDevice, o: ContinuityOptions): Promise<ContinuityReport> {
  const what = "continuity";
  const { t, box, cells, timeStep, label, context, ...rest } = checked(what, continuityFields, o);
  const options = { ...rest, ...cellConditions(what, flow, label, context) };
  const { dim } = flow;
  const { total, steps, centre, volume } = checkCells(what, flow, box, cells);
  const points = gridPoints(centre, steps, cells);
  /** The centres of the faces across each axis. */
  const faces = cells.map((_, axis) =>
    gridPoints(
      centre.map((low, k) => (k === axis ? item(box, axis)[0] : low)),
      steps,
      cells.map((count, k) => count + (k === axis ? 1 : 0)),
    ),
  );
  const { transform } = flow;
  if (transform && faces.some((of) => rowsInside(of, transform).rows.length < of.length))
    throw invalid(
      `${what}: box is ${JSON.stringify(box)}, but some of its cells have faces at or beyond an end of the space that transform gives the data, where there is no flux: pass a box inside that space`,
    );
  const { density, ...first } = await densityAt(flow, what, points, t, options);
  let { unfinished } = first;
  const rate = new Float64Array(total);
  for (const [time, weight] of timeDifference(t, timeStep)) {
    const { density: p, ...more } = await densityAt(flow, what, points, time, options);
    unfinished += more.unfinished;
    // one for each of the points
    for (let i = 0; i < total; i++) rate[i] = (rate[i] as number) + weight * (p[i] as number);
  }
  const residual = Float64Array.from(rate);
  let outflow = 0;
  for (let axis = 0; axis < dim; axis++) {
    const { flux: j, ...more } = await fluxAt(flow, what, item(faces, axis), t, options);
    unfinished += more.unfinished;
    // a face's index, from the cell below it: the axes behind are as in the cells, the axis itself has one more
    const inner = cells.slice(axis + 1).reduce((product, count) => product * count, 1);
    const count = item(cells, axis);
    const width = item(steps, axis);
    for (let i = 0; i < total; i++) {
      const along = Math.floor(i / inner) % count;
      const outer = Math.floor(i / (inner * count));
      const below = (outer * (count + 1) + along) * inner + (i % inner);
      // every cell has a face below and one above it
      const [low, high] = [j[below * dim + axis] as number, j[(below + inner) * dim + axis] as number];
      residual[i] = (residual[i] as number) + (high - low) / width;
      const out = (along === count - 1 ? known(high) : 0) - (along === 0 ? known(low) : 0);
      outflow += (out * volume) / width;
    }
  }
  const sum = (values: ArrayLike<number>) => Array.from(values, known).reduce((all, value) => all + value, 0);
  const found = residual.filter((value) => !Number.isNaN(value));
  const rates = rate.filter((value) => !Number.isNaN(value));
  const largest = (values: Float64Array) =>
    values.length === 0 ? Number.NaN : values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const massRate = volume * sum(rate);
  return {
    residual,
    unfinished,
    max: largest(found),
    rms: Math.sqrt(sum(found.map((value) => value * value)) / found.length),
    scale: largest(rates),
    mass: volume * sum(density),
    massRate,
    outflow,
    imbalance: massRate + outflow,
  };
}
