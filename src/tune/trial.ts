import { pack, paramsBytes, wordsOf } from "../../shaders/interface.ts";
import { stageFloats } from "../../shaders/stage-row.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { bindGroupOf } from "../gpu/pipelines.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import { initialParameters } from "../network/initialisation.ts";
import type { Network } from "../network/network.ts";
import { normals, seedKey, streams } from "../random/philox.ts";
import { type Layout, zero } from "../velocity/parameters.ts";
import { hold } from "./hold.ts";

/** Throw-away work on which tilings are compared. */
export interface Trial {
  /** Compiles a tiling's kernel and runs it on very little work: drivers may really compile only then. */
  warm(tiling: Tiling): Promise<void>;
  /** Runs the whole work once, alone on the device, and returns the seconds it took. */
  time(tiling: Tiling): Promise<number>;
  /** The bits that the last run has left. */
  result(): Promise<Uint32Array>;
  /** Makes the work this many times as long, as nearly as it can; false when that changes nothing. */
  stretch(factor: number): boolean;
  dispose(): void;
}

/** What a trial integrates: the caller's kernel on made-up particles. */
interface TrialShape {
  readonly network: Network;
  /** Rows of one step, as the integrator reads them. */
  readonly stepRows: Float32Array;
  readonly flopsPerStep: number;
  /** Floats per particle of every buffer that a plan names, besides the schedule and the weights. */
  readonly rows: Readonly<Record<string, number>>;
  /** Names among them, and of the others: what a run changes, what it adds to from zero, the schedule. */
  readonly names: { readonly state: string; readonly integral: string; readonly schedule: string };
  weightsName(tiling: Tiling): string;
  layout(tiling: Tiling): Layout;
  plan(tiling: Tiling, capacity: number, firstStep: number, lastStep: number): Dispatch[];
}

/** The first step of a schedule, made so long that a difference in the last bit of a velocity shows in the state. */
export function longStep(schedule: Float32Array, stages: number): Float32Array {
  const rowFloats = stageFloats(stages);
  const rows = schedule.slice(0, rowFloats * stages);
  let sum = 0;
  for (let at = 1; at < rows.length; at += rowFloats) sum += item(rows, at);
  const factor = sum === 0 ? 1 : 0.25 / sum;
  return rows.map((value, i) => (i % rowFloats === 0 ? value : value * factor));
}

/** Work of this length can be told from the latency of asking for its end. */
const wantedSeconds = 0.02;
const mostParticles = 1 << 18;
const mostBytes = 1 << 26;
const mostSteps = 4096;
/** Numbers that are drawn; buffers repeat them. */
const drawn = 8191;

/** STORAGE | UNIFORM | COPY_DST | COPY_SRC */
const usage = 0x80 | 0x40 | 0x08 | 0x04;

function repeated(values: Float32Array, length: number): Float32Array {
  const all = new Float32Array(length);
  for (let at = 0; at < length; at += values.length) all.set(values.subarray(0, length - at), at);
  return all;
}

/**
 * A trial on a device. Its buffers are its own, not the pool's: they count neither as a call's nor against the memory budget,
 * and are destroyed at the end.
 */
export class DeviceTrial implements Trial {
  readonly #session: Session;
  readonly #shape: TrialShape;
  readonly #now: () => number;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #particles: number;
  #steps: number;

  constructor(session: Session, shape: TrialShape, now: () => number) {
    this.#session = session;
    this.#shape = shape;
    this.#now = now;
    const wanted = (session.profile.speed * wantedSeconds) / shape.flopsPerStep;
    const floats = Object.values(shape.rows).reduce((sum, rows) => sum + rows, shape.network.dim);
    const most = Math.min(mostParticles, 2 ** Math.floor(Math.log2(mostBytes / (4 * floats))));
    this.#particles = Math.min(most, Math.max(1024, 2 ** Math.round(Math.log2(wanted))));
    this.#steps = Math.max(1, Math.min(mostSteps, Math.round(wanted / this.#particles)));
  }

  /** What one run integrates. */
  get size(): { readonly particles: number; readonly steps: number } {
    return { particles: this.#particles, steps: this.#steps };
  }

  async warm(tiling: Tiling): Promise<void> {
    await this.#prepare(tiling);
    const [dispatch] = this.#shape.plan(tiling, this.#particles, 0, 1);
    if (!dispatch) return;
    await this.#session.pipelines.compile(dispatch.kernel);
    await this.#submit([{ ...dispatch, workgroups: [1] }]);
    await this.#done();
  }

  async time(tiling: Tiling): Promise<number> {
    await this.#prepare(tiling);
    const dispatches = this.#shape.plan(tiling, this.#particles, 0, this.#steps);
    const { device, pipelines } = this.#session;
    for (const { kernel } of dispatches) await pipelines.compile(kernel);
    return hold(device, pipelines, async () => {
      const start = this.#now();
      await this.#submit(dispatches);
      await this.#done();
      return this.#now() - start;
    });
  }

  async result(): Promise<Uint32Array> {
    const { device } = this.#session;
    const { state, integral } = this.#shape.names;
    const sources = [state, integral].filter((name) => this.#buffers.has(name)).map((name) => this.#buffer(name));
    const bytes = sources.reduce((sum, { size }) => sum + size, 0);
    const staging = device.createBuffer({ size: bytes, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
    try {
      const encoder = device.createCommandEncoder();
      let at = 0;
      for (const source of sources) {
        encoder.copyBufferToBuffer(source, 0, staging, at, source.size);
        at += source.size;
      }
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1);
      return new Uint32Array(staging.getMappedRange().slice(0));
    } finally {
      staging.destroy();
    }
  }

  stretch(factor: number): boolean {
    const before = this.#steps;
    this.#steps = Math.max(1, Math.min(mostSteps, Math.round(before * factor)));
    return this.#steps !== before;
  }

  dispose(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    this.#buffers.clear();
  }

  #buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new Error(`the trial has no buffer "${name}"`);
    return buffer;
  }

  #done(): Promise<undefined> {
    return this.#session.device.queue.onSubmittedWorkDone();
  }

  /** Makes the buffers that a tiling's kernel needs and that are not there yet. */
  async #prepare(tiling: Tiling): Promise<void> {
    const { network, stepRows, rows, names, layout, weightsName } = this.#shape;
    const make = async (name: string, content: () => Float32Array) => {
      if (!this.#buffers.has(name)) this.#buffers.set(name, await this.#upload(name, content()));
    };
    const numbers = (floats: number) => () =>
      repeated(normals(seedKey(1), streams.source, 0, drawn, 1), floats * this.#particles);
    await make(names.schedule, () => repeated(stepRows, mostSteps * stepRows.length));
    await make("start", numbers(network.dim));
    for (const [name, floats] of Object.entries(rows)) await make(name, numbers(floats));
    await make("params", () => new Float32Array(paramsBytes / 4));
    await make(weightsName(tiling), () => {
      const parameters = initialParameters(network, 1);
      return Float32Array.from(layout(tiling).source, (from) => (from === zero ? 0 : (parameters[from] as number)));
    });
  }

  async #upload(name: string, content: Float32Array): Promise<GPUBuffer> {
    const { device } = this.#session;
    device.pushErrorScope("out-of-memory");
    const buffer = device.createBuffer({ label: `trial: ${name}`, size: Math.max(256, content.byteLength), usage });
    const scope = device.popErrorScope();
    if (await scope) {
      buffer.destroy();
      throw new Error("the device has no room for a trial");
    }
    device.queue.writeBuffer(buffer, 0, content as GPUAllowSharedBufferSource);
    return buffer;
  }

  async #submit(dispatches: readonly Dispatch[]): Promise<void> {
    const { device, pipelines } = this.#session;
    const compiled = await Promise.all(dispatches.map(({ kernel }) => pipelines.compile(kernel)));
    device.pushErrorScope("validation");
    let scope: Promise<GPUError | null>;
    try {
      for (const [i, dispatch] of dispatches.entries()) {
        const pipeline = item(compiled, i);
        const words = wordsOf(1);
        pack(dispatch.kernel.params, dispatch.params, words, 0);
        device.queue.writeBuffer(this.#buffer("params"), 0, words.integers);
        const encoder = device.createCommandEncoder();
        if (i === 0) {
          const { state, integral } = this.#shape.names;
          const start = this.#buffer("start");
          encoder.copyBufferToBuffer(start, 0, this.#buffer(state), 0, start.size);
          if (this.#buffers.has(integral)) encoder.clearBuffer(this.#buffer(integral));
        }
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline.gpu);
        const bufferOf = (name: string) => this.#buffer(name);
        pass.setBindGroup(0, bindGroupOf(device, pipeline.layout, dispatch, bufferOf("params"), bufferOf), [0]);
        pass.dispatchWorkgroups(...(dispatch.workgroups as [number, number?, number?]));
        pass.end();
        device.queue.submit([encoder.finish()]);
      }
    } finally {
      scope = device.popErrorScope();
    }
    const error = await scope;
    if (error) throw new Error(error.message);
  }
}
