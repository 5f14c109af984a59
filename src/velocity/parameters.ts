import { packDispatch } from "../../shaders/pack.ts";
import { readable } from "../arrays.ts";
import { invalid, PushforwardError } from "../errors.ts";
import { Arena } from "../gpu/arena.ts";
import type { Shared } from "../gpu/kernel.ts";
import { readBack } from "../gpu/read.ts";
import type { Session } from "../gpu/session.ts";
import type { Tensor } from "../io/safetensors.ts";
import { must } from "../must.ts";
import type { Network, ParameterTensor } from "../network/network.ts";
import { hint, show } from "../options.ts";

/** Marks an element of a packed layout that holds zero instead of a parameter. */
export const zero = 0xffffffff;

/** A rearrangement of the parameters for a kernel: element i of the packed buffer is parameter `source[i]`, or zero. */
export interface Layout {
  readonly name: string;
  readonly source: Uint32Array;
  /** Two elements in four bytes, as f16; there is an even number of them. */
  readonly half?: true;
}

/** A packed copy of the parameters on a device. While calls use it, it keeps the version that it has. */
interface Packed {
  readonly buffer: GPUBuffer;
  readonly count: number;
  version: number;
  users: number;
  /** Settles when it has been filled, or could not be. */
  filling: Promise<unknown> | undefined;
}

/**
 * The parameters of a network: one flat f32 buffer in PyTorch's order on the device, and packed copies for the kernels. Training
 * changes the flat one in place; a packed copy that a running call uses stays as it is, and the next call has one of its own.
 */
export class Parameters {
  readonly tensors: readonly ParameterTensor[];
  readonly count: number;
  /** Raised by every change. */
  version = 1;
  /** The training that changes them, while it runs. */
  trainedBy: string | undefined;
  #host: Float32Array;
  #hostVersion = 1;
  /** The device that the buffers are on; those on a lost one are gone with it. */
  #session: Session | undefined;
  #flat: { readonly buffer: GPUBuffer; users: number } | undefined;
  readonly #packed = new Map<string, Packed>();
  readonly #maps = new Map<string, GPUBuffer>();
  #disposed = false;

  constructor({ tensors }: Pick<Network, "tensors">, initial: Float32Array) {
    this.tensors = tensors;
    this.count = initial.length;
    this.#host = initial;
  }

  #assertAlive(): void {
    if (this.#disposed) throw invalid("this flow has been disposed: create or load it again");
  }

  #use(session: Session): void {
    this.#assertAlive();
    session.assertUsable();
    if (this.#session === session) return;
    this.#session = session;
    this.#flat = undefined;
    this.#packed.clear();
    this.#maps.clear();
  }

  /** Makes a buffer on the device and has it `put` in its place, unless another call has put one there meanwhile or it came too late. */
  async #make(
    session: Session,
    bytes: number,
    label: string,
    isThere: () => boolean,
    put: (buffer: GPUBuffer) => void,
  ): Promise<void> {
    const buffer = await session.buffers.acquire(bytes, "storage", label);
    if (this.#disposed || this.#session !== session || isThere()) session.buffers.release(buffer);
    else put(buffer);
  }

  /**
   * The flat parameters on the device, uploaded when first needed. Whoever writes to it calls {@link changed}.
   *
   * @throws PushforwardError `device-lost` when the latest ones were on a device that was lost.
   */
  async buffer(session: Session): Promise<GPUBuffer> {
    return (await this.#onDevice(session)).buffer;
  }

  /** {@link buffer} for a while: it is kept until it is released, even when the flow is disposed before. */
  async borrow(session: Session): Promise<{ buffer: GPUBuffer; release(): void }> {
    const flat = await this.#onDevice(session);
    flat.users++;
    const release = () => {
      if (--flat.users === 0 && this.#disposed) session.buffers.release(flat.buffer);
    };
    return { buffer: flat.buffer, release };
  }

  async #onDevice(session: Session): Promise<{ readonly buffer: GPUBuffer; users: number }> {
    this.#use(session);
    if (this.#flat) return this.#flat;
    this.#assertHost(session);
    const isThere = () => this.#flat !== undefined;
    await this.#make(session, this.count * 4, "parameters", isThere, (buffer) => {
      this.#flat = { buffer, users: 0 };
      session.device.queue.writeBuffer(buffer, 0, this.#host as GPUAllowSharedBufferSource);
    });
    return this.#onDevice(session);
  }

  #assertHost(session: Session | undefined): void {
    if (this.#hostVersion === this.version) return;
    throw new PushforwardError(
      "device-lost",
      `${session?.isLost ? session.whyLost() : "the GPU device was lost"} with the latest weights of this flow: ${
        this.trainedBy === undefined
          ? "load it from a file or a checkpoint, or call setWeights"
          : `take the next step of ${this.trainedBy}, which computes them again, and then this call`
      }`,
    );
  }

  /** Says that a kernel has written to {@link buffer}. */
  changed(): void {
    this.version++;
  }

  /** Replaces all parameters. The record must have exactly the tensors of the network. */
  set(weights: Record<string, Float32Array | Tensor>): void {
    this.#assertAlive();
    const flat = flatten(this.tensors, weights);
    if (this.trainedBy !== undefined)
      throw invalid(
        `setWeights: this flow is being trained (${this.trainedBy}), which goes on from its own weights: set them when the loop over the training has ended (break, an abort and the iterator's return() end it)`,
      );
    this.setFlat(flat);
  }

  /** Replaces all parameters by finite ones in PyTorch's order, of which it keeps the array. */
  setFlat(host: Float32Array): void {
    this.#host = host;
    this.version++;
    this.#hostVersion = this.version;
    if (this.#flat && this.#session && !this.#session.isLost)
      this.#session.device.queue.writeBuffer(this.#flat.buffer, 0, host as GPUAllowSharedBufferSource);
  }

  /**
   * All parameters as a flat host array, read back when the device has newer ones.
   *
   * @throws PushforwardError `device-lost` when these were lost with it.
   */
  async host(): Promise<Float32Array> {
    this.#assertAlive();
    const { version } = this;
    if (this.#hostVersion !== version) {
      const session = this.#session;
      if (!session || session.isLost) this.#assertHost(session);
      else {
        const host = new Float32Array(await readBack(session, await this.buffer(session), this.count * 4));
        if (this.#hostVersion < version) {
          this.#host = host;
          this.#hostVersion = version;
        }
        return host;
      }
    }
    return this.#host;
  }

  /**
   * The parameters of this moment in the layouts of kernels, on the device, by the names that kernels have for them. They stay
   * as they are until they are released.
   */
  async lease(session: Session, layouts: Readonly<Record<string, Layout>>): Promise<Shared> {
    const held: { name: string; layout: Layout; packed: Packed }[] = [];
    const release = () => {
      for (const { layout, packed } of held.splice(0)) this.#letGo(session, layout.name, packed);
    };
    try {
      for (;;) {
        for (const [name, layout] of Object.entries(layouts))
          held.push({ name, layout, packed: await this.#hold(session, layout) });
        const [version = this.version, ...others] = held.map(({ packed }) => packed.version);
        // training may have taken a step between two of them
        if (others.every((other) => other === version)) {
          return { version, buffers: new Map(held.map(({ name, packed }) => [name, packed.buffer])), release };
        }
        release();
      }
    } catch (error) {
      release();
      throw error;
    }
  }

  /** A packed copy of the latest parameters, with one user more. */
  async #hold(session: Session, layout: Layout): Promise<Packed> {
    const flat = await this.buffer(session);
    const { name, source } = layout;
    const known = this.#packed.get(name);
    if (known?.filling) {
      await known.filling;
      return this.#hold(session, layout);
    }
    if (known?.version === this.version) {
      known.users++;
      return known;
    }
    if (!this.#maps.has(name)) {
      const isThere = () => this.#maps.has(name);
      await this.#make(session, source.byteLength, `map (${name})`, isThere, (map) => {
        this.#maps.set(name, map);
        session.device.queue.writeBuffer(map, 0, source as GPUAllowSharedBufferSource);
      });
      return this.#hold(session, layout);
    }
    if (!known || known.users > 0) {
      const count = layout.half ? source.length / 2 : source.length;
      const isThere = () => this.#packed.get(name) !== known;
      await this.#make(session, count * 4, `weights (${name})`, isThere, (buffer) => {
        this.#packed.set(name, { buffer, count, version: 0, users: 0, filling: undefined });
      });
      return this.#hold(session, layout);
    }
    known.users++;
    const filling = this.#fill(session, flat, layout, known);
    known.filling = filling.catch(() => undefined);
    try {
      await filling;
      return known;
    } catch (error) {
      this.#letGo(session, name, known);
      throw error;
    } finally {
      known.filling = undefined;
    }
  }

  async #fill(session: Session, flat: GPUBuffer, { name, half }: Layout, packed: Packed): Promise<void> {
    const arena = new Arena(session);
    try {
      arena.lend("from", flat);
      arena.lend("map", must(this.#maps.get(name), `the map of "${name}"`));
      arena.lend("to", packed.buffer);
      await arena.submit([packDispatch(packed.count, { from: "from", map: "map", to: "to" }, half)], () => {
        packed.version = this.version;
      });
    } finally {
      arena.release();
    }
  }

  #letGo(session: Session, name: string, packed: Packed): void {
    packed.users--;
    if (packed.users > 0) return;
    if (this.#disposed || this.#packed.get(name) !== packed) session.buffers.release(packed.buffer);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const buffers = this.#session?.buffers;
    if (this.#flat?.users === 0) buffers?.release(this.#flat.buffer);
    for (const map of this.#maps.values()) buffers?.release(map);
    for (const { buffer, users } of this.#packed.values()) if (users === 0) buffers?.release(buffer);
    this.#packed.clear();
  }
}

/** The parameters as they are, for a kernel that reads them in PyTorch's order. */
export function plainLayout(count: number): Layout {
  return { name: "parameters", source: Uint32Array.from({ length: count }, (_, i) => i) };
}

/** Flat array from a record of tensors; every mismatch is an error that names the tensor. */
export function flatten(
  tensors: readonly ParameterTensor[],
  weights: Readonly<Record<string, Float32Array | Tensor>>,
): Float32Array {
  if (typeof weights !== "object" || weights === null)
    throw invalid(`weights is ${show(weights)}, but it is a record of tensors by name, such as flow.weights() gives`);
  const names = tensors.map((tensor) => tensor.name);
  for (const name of Object.keys(weights)) {
    if (names.includes(name)) continue;
    throw invalid(`the network has no tensor "${name}"${hint(name, names, ".")} It has ${names.join(", ")}.`);
  }
  const flat = new Float32Array(tensors.reduce((sum, tensor) => sum + tensor.size, 0));
  for (const { name, shape, offset, size } of tensors) {
    const given = weights[name];
    if (!given) throw invalid(`the tensor "${name}" [${shape.join(", ")}] is missing: pass all of ${names.join(", ")}`);
    const isArray = ArrayBuffer.isView(given);
    const values = readable(`the tensor "${name}"`, isArray ? given : given.data);
    if (!(values instanceof Float32Array))
      throw invalid(
        `the tensor "${name}" is ${show(given)}, but it is a Float32Array or { shape, data }, as decodeSafetensors gives: wrap numbers with Float32Array.from(…)`,
      );
    if (
      !isArray &&
      !(
        Array.isArray(given.shape) &&
        given.shape.length === shape.length &&
        given.shape.every((size, i) => size === shape[i])
      )
    )
      throw invalid(
        `the tensor "${name}" has the shape ${show(given.shape)}, but this network needs [${shape.join(", ")}]`,
      );
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
