import { dataRows } from "../data/units.ts";
import type { Session } from "../gpu/session.ts";
import { hostArray, piecemeal } from "../host-array.ts";
import { item, must } from "../must.ts";
import type { RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import { outputs, shapes } from "./outputs.ts";
import type { StepCounts, Trajectory } from "./results.ts";
import type { FlowOnDevice } from "./shape.ts";
import { solveJob } from "./solve-job.ts";
import { readTally } from "./tally.ts";
import { functionEvaluations, type TrajectoryRequest } from "./trajectory.ts";

/** Velocity evaluations per particle of an adaptive solve. */
export function meanEvaluations({ accepted, rejected, most }: StepCounts, count: number, stages: number): number {
  // two evaluations choose the first step's size, and the last of a step is the first of the next
  return count === 0 || most === 0 ? 0 : 2 + ((stages - 1) * (accepted + rejected)) / count;
}

/** What comes back beside the arrays: particles that are not finite, and the report of an adaptive solve. */
export class Figures {
  nonFinite = 0;
  #unfinished = 0;
  readonly #count: number;
  readonly #stages: number;
  readonly #status: Uint8Array | undefined;
  readonly #steps: StepCounts = { accepted: 0, rejected: 0, most: 0 };

  constructor({ what, grid }: TrajectoryRequest, count: number) {
    this.#count = count;
    this.#stages = grid.tableau.b.length;
    this.#status = grid.adaptive && hostArray(Uint8Array, count, particles(what, count), piecemeal(what));
  }

  /** Takes those of a chunk whose first particle has number `start` of the result's. */
  take(chunk: ReadonlyMap<string, ArrayBuffer>, start: number): void {
    const { nonFinite, unfinished } = readTally(chunk.get(outputs.tally));
    this.nonFinite += nonFinite;
    this.#unfinished += unfinished;
    const [status, totals] = [chunk.get(outputs.status), chunk.get(outputs.totals)];
    // fixed steps have neither, nor has a solve over an empty interval
    if (!status || !totals) return;
    this.#status?.set(new Uint32Array(status), start);
    const counts = new Uint32Array(totals);
    this.#steps.accepted += item(counts, 0);
    this.#steps.rejected += item(counts, 1);
    this.#steps.most = Math.max(this.#steps.most, item(counts, 2));
  }

  /** As a result has them; `nfe` is that of a fixed grid. */
  report(nfe: number) {
    const { nonFinite } = this;
    if (!this.#status) return { nfe, nonFinite };
    const steps = this.#steps;
    return {
      nfe: meanEvaluations(steps, this.#count, this.#stages),
      nonFinite,
      unfinished: this.#unfinished,
      status: this.#status,
      steps,
    };
  }
}

export function assemble(
  request: TrajectoryRequest,
  arrays: Map<string, Float32Array>,
  figures: Figures,
  space?: typeof import("./bound-states.ts"),
): Trajectory & { x0?: Float32Array } {
  const optional = (name: string) => {
    const array = arrays.get(name);
    return array && { [name]: array };
  };
  // The overloads of Flow hand it out as `DoubleSamples`.
  const isDouble = request.unitsOut === "data in f64";
  const rows = (name: string) => {
    const own = arrays.get(name);
    if (!isDouble || !own) return own;
    const rows = space ? space.rowsOfData(own, request) : dataRows(own, request.normalization);
    return rows as unknown as Float32Array;
  };
  const saved = rows(outputs.saved);
  return {
    x: must(rows(outputs.x), "x of a solve"),
    ...optional(outputs.start),
    ...optional(outputs.logProb),
    ...optional(outputs.standardError),
    ...(request.save && { times: Float64Array.from(request.save, (k) => item(request.grid.times, k)) }),
    ...(saved && { saved }),
    ...optional(outputs.savedLogProb),
    ...figures.report(functionEvaluations(request.grid)),
  };
}

/** What brings samples into a transform's space on the host. */
const spaceOf = ({ transform, unitsOut }: TrajectoryRequest) =>
  transform && unitsOut === "data in f64" ? import("./bound-states.ts") : undefined;

const particles = (what: string, count: number) => `${what}: ${count.toLocaleString("en-US")} particles`;

/** Runs a solve and gathers all of it on the host. */
export async function collect(
  flow: FlowOnDevice,
  request: TrajectoryRequest,
  options: RunOptions,
): Promise<Trajectory & { x0?: Float32Array }> {
  const layout = shapes(flow.dim, request);
  const arrays = new Map<string, Float32Array>();
  const figures = new Figures(request, request.count);
  const { what, count } = request;
  for (const [name, { floats, rows }] of layout) {
    const array = (type: typeof Float32Array | typeof Float64Array) =>
      hostArray(type as typeof Float32Array, floats * rows * count, particles(what, count), piecemeal(what));
    arrays.set(name, array(Float32Array));
    // what is made at the end must not fail there
    if (request.unitsOut === "data in f64" && floats > 1) array(Float64Array);
  }
  const makeJob = (session: Session) => solveJob(flow, session, request);
  for await (const chunk of runJob(flow.gpu, request.count, makeJob, options)) {
    figures.take(chunk.outputs, chunk.start);
    for (const [name, { floats, rows }] of layout) {
      const array = must(arrays.get(name), `the array of ${name}`);
      const part = new Float32Array(must(chunk.outputs.get(name), `${name} of a chunk`));
      const row = floats * chunk.count;
      for (let k = 0; k < rows; k++)
        array.set(part.subarray(k * row, (k + 1) * row), (k * request.count + chunk.start) * floats);
    }
  }
  return assemble(request, arrays, figures, await spaceOf(request));
}

/** Runs a solve and yields the result of every chunk, in order. */
export async function* chunks(
  flow: FlowOnDevice,
  request: TrajectoryRequest,
  options: RunOptions,
): AsyncGenerator<{ start: number; result: Trajectory & { x0?: Float32Array } }> {
  const makeJob = (session: Session) => solveJob(flow, session, request);
  for await (const chunk of runJob(flow.gpu, request.count, makeJob, options)) {
    const figures = new Figures(request, chunk.count);
    figures.take(chunk.outputs, 0);
    const arrays = new Map(Array.from(chunk.outputs, ([name, bytes]) => [name, new Float32Array(bytes)] as const));
    yield { start: chunk.start, result: assemble(request, arrays, figures, await spaceOf(request)) };
  }
}
