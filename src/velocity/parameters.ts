import { packKernel } from "../../shaders/pack.ts";
import { invalid } from "../errors.ts";
import { Arena } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { gridOf } from "../gpu/grid.ts";
import { type Dispatch, packParams, u32 } from "../gpu/kernel.ts";
import { readBack } from "../gpu/read.ts";
import { nearest } from "../options.ts";
import { type MlpVelocity, type ParameterTensor, parameterTensors } from "./mlp.ts";

/** Marks an element of a packed layout that holds zero instead of a parameter. */
export const zero = 0xffffffff;

/** A rearrangement of the parameters for a kernel: element i of the packed buffer is parameter `source[i]`, or zero. */
export interface Layout {
  readonly name: string;
  readonly source: Uint32Array;
  /** Two elements in four bytes, as f16; there is an even number of them. */
  readonly half?: true;
}

/** Dispatch that fills `count` words of buffer `to` from the flat parameters in buffer `from` by the map in buffer `map`. */
export function packDispatch(count: number, names: { from: string; map: string; to: string }, half = false): Dispatch {
  return {
    kernel: packKernel({ half }),
    buffers: [names.from, names.map, names.to],
    params: packParams([u32(count)]),
    workgroups: gridOf(Math.ceil(count / 64)),
    flops: 4 * count,
  };
}

/**
 * The parameters of an MLP on the device: one flat f32 buffer in PyTorch's order, and packed copies for the kernels,
 * which are remade when the parameters have changed.
 */
export class Parameters {
  readonly gpu: Gpu;
  readonly tensors: readonly ParameterTensor[];
  readonly count: number;
  /** Raised by every change; packed copies of an older version are remade. */
  version = 1;
  #flat: GPUBuffer | undefined;
  #host: Float32Array;
  #hostVersion = 1;
  readonly #packed = new Map<string, { buffer: GPUBuffer; map: GPUBuffer; count: number; version: number }>();
  #disposed = false;

  constructor(gpu: Gpu, velocity: MlpVelocity, initial: Float32Array) {
    this.gpu = gpu;
    this.tensors = parameterTensors(velocity);
    this.count = initial.length;
    this.#host = initial;
  }

  /** The flat parameters on the device, uploaded when first needed. Whoever writes to it calls {@link changed}. */
  async buffer(): Promise<GPUBuffer> {
    if (this.#disposed) throw invalid("this flow has been disposed: create or load it again");
    if (this.#flat) return this.#flat;
    const buffer = await this.gpu.buffers.acquire(this.count * 4, "storage", "parameters");
    if (this.#flat || this.#disposed) this.gpu.buffers.release(buffer);
    else {
      this.#flat = buffer;
      this.gpu.device.queue.writeBuffer(buffer, 0, this.#host as GPUAllowSharedBufferSource);
    }
    return this.buffer();
  }

  /** Says that a kernel has written to {@link buffer}. */
  changed(): void {
    this.version++;
  }

  /** Replaces all parameters. The record must have exactly the tensors of the network. */
  set(weights: Record<string, Float32Array>): void {
    if (this.#disposed) throw invalid("this flow has been disposed: create or load it again");
    this.#host = flatten(this.tensors, weights);
    this.version++;
    this.#hostVersion = this.version;
    if (this.#flat) this.gpu.device.queue.writeBuffer(this.#flat, 0, this.#host as GPUAllowSharedBufferSource);
  }

  /** All parameters as a flat host array, read back when the device has newer ones. */
  async host(): Promise<Float32Array> {
    if (this.#disposed) throw invalid("this flow has been disposed: create or load it again");
    if (this.#hostVersion !== this.version) {
      const version = this.version;
      this.#host = new Float32Array(await readBack(this.gpu, await this.buffer(), this.count * 4));
      this.#hostVersion = version;
    }
    return this.#host;
  }

  /** The parameters in a kernel's layout, on the device. */
  async packed(layout: Layout): Promise<GPUBuffer> {
    const flat = await this.buffer();
    let entry = this.#packed.get(layout.name);
    if (!entry) {
      const elements = layout.source.length;
      const count = layout.half ? elements / 2 : elements;
      const buffer = await this.gpu.buffers.acquire(count * 4, "storage", `weights (${layout.name})`);
      const map = await this.gpu.buffers.acquire(elements * 4, "storage", `map (${layout.name})`);
      const raced = this.#packed.get(layout.name);
      if (raced || this.#disposed) {
        this.gpu.buffers.release(buffer);
        this.gpu.buffers.release(map);
        return this.packed(layout);
      }
      this.gpu.device.queue.writeBuffer(map, 0, layout.source as GPUAllowSharedBufferSource);
      entry = { buffer, map, count, version: 0 };
      this.#packed.set(layout.name, entry);
    }
    if (entry.version !== this.version) {
      const version = this.version;
      const arena = new Arena(this.gpu);
      try {
        arena.lend("from", flat);
        arena.lend("map", entry.map);
        arena.lend("to", entry.buffer);
        const dispatches = [packDispatch(entry.count, { from: "from", map: "map", to: "to" }, layout.half)];
        const { pipelines } = await arena.prepare(dispatches);
        const encoder = this.gpu.device.createCommandEncoder();
        arena.encode(encoder, dispatches, pipelines);
        this.gpu.device.queue.submit([encoder.finish()]);
        entry.version = version;
      } finally {
        arena.release();
      }
    }
    return entry.buffer;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#flat) this.gpu.buffers.release(this.#flat);
    for (const { buffer, map } of this.#packed.values()) {
      this.gpu.buffers.release(buffer);
      this.gpu.buffers.release(map);
    }
    this.#packed.clear();
  }
}

/** Flat array from a record of tensors; every mismatch is an error that names the tensor. */
export function flatten(tensors: readonly ParameterTensor[], weights: Record<string, Float32Array>): Float32Array {
  const names = tensors.map((tensor) => tensor.name);
  for (const name of Object.keys(weights)) {
    if (names.includes(name)) continue;
    const near = nearest(name, names);
    throw invalid(
      `the network has no tensor "${name}"${near ? `: did you mean "${near}"?` : ""} It has ${names.join(", ")}.`,
    );
  }
  const flat = new Float32Array(tensors.reduce((sum, tensor) => sum + tensor.size, 0));
  for (const { name, shape, offset, size } of tensors) {
    const values = weights[name];
    if (!values)
      throw invalid(`the tensor "${name}" [${shape.join(", ")}] is missing: pass all of ${names.join(", ")}`);
    if (values.length !== size) {
      throw invalid(
        `the tensor "${name}" has ${values.length} values, but this network needs [${shape.join(", ")}] = ${size}`,
      );
    }
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw invalid(`the tensor "${name}" holds ${values[bad]} at index ${bad}: weights are finite numbers`);
    flat.set(values, offset);
  }
  return flat;
}

/** Record of tensors from a flat array (copies). */
export function unflatten(tensors: readonly ParameterTensor[], flat: Float32Array): Record<string, Float32Array> {
  return Object.fromEntries(tensors.map(({ name, offset, size }) => [name, flat.slice(offset, offset + size)]));
}
