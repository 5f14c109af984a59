import { pack, paramsBytes, type Words, wordsOf } from "../../shaders/interface.ts";
import { readable } from "../arrays.ts";
import { invalid, PushforwardError } from "../errors.ts";
import type { Dispatch } from "./kernel.ts";
import { bindGroupOf, type Pipeline } from "./pipelines.ts";
import type { Session } from "./session.ts";

/** Bytes of the params of that many dispatches. */
export const bytesOfParams = (dispatches: number): number => paramsBytes * Math.max(1, dispatches);

/**
 * The buffers of one running call (or of one chunk of it), by name, and the encoding of its dispatches.
 * `release` returns every buffer that the arena acquired; buffers it was lent are left alone.
 */
export class Arena {
  readonly session: Session;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #owned = new Set<GPUBuffer>();
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  /** The same by dispatch: most of those of a training are the same in every step. */
  #ofDispatches = new WeakMap<Dispatch, GPUBindGroup>();
  #params: GPUBuffer | undefined;
  /** Room for as many params as fit into that buffer. */
  #words: Words | undefined;
  #released = false;

  constructor(session: Session) {
    this.session = session;
  }

  /** Lends a buffer to the arena under a name. */
  lend(name: string, buffer: GPUBuffer): void {
    this.#buffers.set(name, buffer);
    this.#forgetGroups();
  }

  #forgetGroups(): void {
    this.#bindGroups.clear();
    this.#ofDispatches = new WeakMap();
  }

  /** Acquires a storage buffer under a name, optionally filled from the host. Content is undefined otherwise. */
  async allocate(name: string, bytes: number, data?: Float32Array | Uint32Array): Promise<GPUBuffer> {
    const buffer = await this.#acquire(Math.max(bytes, 16), name);
    this.lend(name, buffer);
    // Deno panics at a write of nothing
    if (data?.length)
      this.session.device.queue.writeBuffer(buffer, 0, readable(name, data) as GPUAllowSharedBufferSource);
    return buffer;
  }

  async #acquire(bytes: number, name: string): Promise<GPUBuffer> {
    const buffer = await this.session.buffers.acquire(bytes, "storage", name);
    if (this.#released) {
      this.session.buffers.release(buffer);
      throw invalid("this call has ended");
    }
    this.#owned.add(buffer);
    return buffer;
  }

  /** Bytes of the buffers that the arena acquired. */
  get bytes(): number {
    let bytes = 0;
    for (const { size } of this.#owned) bytes += size;
    return bytes;
  }

  has(name: string): boolean {
    return this.#buffers.has(name);
  }

  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (!buffer) throw new Error(`the plan names a buffer "${name}" that was never allocated`);
    return buffer;
  }

  /** Takes a buffer out of the arena: it is the caller's to release or destroy. */
  take(name: string): GPUBuffer {
    const buffer = this.buffer(name);
    this.#owned.delete(buffer);
    return this.session.buffers.give(buffer);
  }

  /** Whether there is room for the params of so many dispatches. */
  hasRoom(dispatches: number): boolean {
    return this.#params !== undefined && this.#params.size >= bytesOfParams(dispatches);
  }

  /** Makes room for the params of so many dispatches. */
  async makeRoom(dispatches: number): Promise<void> {
    if (this.hasRoom(dispatches)) return;
    const bytes = bytesOfParams(dispatches);
    if (this.#params) {
      this.session.buffers.release(this.#params);
      this.#owned.delete(this.#params);
      this.#params = undefined;
      this.#words = undefined;
      this.#forgetGroups();
    }
    this.#params = await this.#acquire(bytes, "params");
  }

  /**
   * Compiles what the dispatches need; `fresh` are those that run for the first time (their time is not representative). It holds
   * nothing while it waits, so a call that is aborted meanwhile has nothing to give back.
   */
  async prepare(dispatches: readonly Dispatch[]): Promise<{ pipelines: Pipeline[]; fresh: Pipeline[] }> {
    const { pipelines: cache } = this.session;
    return begun(await Promise.all(dispatches.map(({ kernel }) => cache.get(kernel))));
  }

  /** The same where all is compiled; undefined where something has to be waited for. */
  prepared(dispatches: readonly Dispatch[]): { pipelines: Pipeline[]; fresh: Pipeline[] } | undefined {
    const pipelines = this.session.pipelines.compiled(dispatches);
    return pipelines && begun(pipelines);
  }

  /** Encodes prepared dispatches into one compute pass. The params go through the queue, so they are in place before the submit. */
  encode(encoder: GPUCommandEncoder, dispatches: readonly Dispatch[], pipelines: readonly Pipeline[]): void {
    const params = this.#params;
    if (!params) throw new Error("encode before prepare");
    this.#words ??= wordsOf(Math.floor(params.size / paramsBytes));
    const words = this.#words;
    for (const [i, { kernel, params, entries }] of dispatches.entries()) pack(kernel.params, params, words, i, entries);
    if (dispatches.length > 0)
      this.session.device.queue.writeBuffer(params, 0, words.integers, 0, (paramsBytes / 4) * dispatches.length);
    const pass = encoder.beginComputePass();
    let current: Pipeline | undefined;
    for (const [i, dispatch] of dispatches.entries()) {
      const pipeline = pipelines[i];
      if (!pipeline) throw new Error("encode with other dispatches than were prepared");
      if (pipeline !== current) pass.setPipeline(pipeline.gpu);
      current = pipeline;
      pass.setBindGroup(0, this.#groupOf(dispatch, pipeline, params), [i * paramsBytes]);
      pass.dispatchWorkgroups(...(dispatch.workgroups as [number, number?, number?]));
    }
    pass.end();
  }

  /** Runs small kernels, of which nobody has to be told; `sent` is called as they go to the device, when all is compiled. */
  async submit(dispatches: readonly Dispatch[], sent?: () => void): Promise<void> {
    await this.makeRoom(dispatches.length);
    const { pipelines } = await this.prepare(dispatches);
    for (const pipeline of pipelines) pipeline.isReady = true;
    sent?.();
    const { device } = this.session;
    const encoder = device.createCommandEncoder();
    this.encode(encoder, dispatches, pipelines);
    device.queue.submit([encoder.finish()]);
  }

  #groupOf(dispatch: Dispatch, pipeline: Pipeline, params: GPUBuffer): GPUBindGroup {
    let group = this.#ofDispatches.get(dispatch);
    if (!group) {
      group = this.#bindGroup(dispatch, pipeline, params);
      this.#ofDispatches.set(dispatch, group);
    }
    return group;
  }

  #bindGroup(dispatch: Dispatch, pipeline: Pipeline, params: GPUBuffer): GPUBindGroup {
    const { buffers, offsets } = dispatch;
    const key = [pipeline.id, ...Object.values(buffers), ...(offsets ? Object.values(offsets) : [])].join("|");
    let group = this.#bindGroups.get(key);
    if (!group) {
      const { device } = this.session;
      group = bindGroupOf(device, pipeline.layout, dispatch, params, (name) => this.buffer(name));
      this.#bindGroups.set(key, group);
    }
    return group;
  }

  /** Returns every acquired buffer to the pool. */
  release(): void {
    this.#released = true;
    for (const buffer of this.#owned) this.session.buffers.release(buffer);
    this.#owned.clear();
    this.#buffers.clear();
    this.#forgetGroups();
    this.#params = undefined;
    this.#words = undefined;
  }
}

/** Pipelines whose first submit comes next, and which of them have had none before. */
function begun(pipelines: Pipeline[]): { pipelines: Pipeline[]; fresh: Pipeline[] } {
  const fresh = pipelines.filter((pipeline) => pipeline.fresh);
  for (const pipeline of fresh) pipeline.fresh = false;
  return { pipelines, fresh };
}

/** Runs `work` inside a validation scope; the returned promise rejects with `shader` if WebGPU found fault with it. */
export function validated(session: Session, label: string, work: () => void): Promise<void> {
  session.device.pushErrorScope("validation");
  let scope: Promise<GPUError | null>;
  try {
    work();
  } finally {
    // popped even when work throws, so that no scope stays behind
    scope = session.device.popErrorScope();
  }
  return scope.then(
    (error) => {
      if (error) throw new PushforwardError("shader", `WebGPU rejected "${label}": ${error.message}`);
    },
    (cause: unknown) => {
      throw session.isLost ? session.lostError(cause) : cause;
    },
  );
}
