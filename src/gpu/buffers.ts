import { invalid, PushforwardError } from "../errors.ts";
import { largestBinding } from "./largest-binding.ts";

/** Buffers that kernels read and write, and that can be uniform sources, drawn from, copied and cleared. */
const storageUsage = 0x80 | 0x40 | 0x20 | 0x08 | 0x04; // STORAGE | UNIFORM | VERTEX | COPY_DST | COPY_SRC
const stagingUsage = 0x01 | 0x08; // MAP_READ | COPY_DST

type Purpose = "storage" | "staging";

/**
 * Recycles buffers by size class, counts what is alive, and turns a failed allocation into `out-of-memory`.
 * Sizes are rounded up to a power of two below 1 MiB and to a multiple of 1 MiB above, so that calls of similar size share.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #limit: number;
  /** By purpose and size; what came back last is taken first. */
  readonly #free = new Map<string, GPUBuffer[]>();
  readonly #live = new Set<GPUBuffer>();
  #retainedBytes = 0;
  #liveBytes = 0;
  #disposed = false;

  /** Buffers wait for reuse as long as they and those in use are at most `limit` bytes. */
  constructor(device: GPUDevice, limit: number) {
    this.#device = device;
    this.#limit = limit;
  }

  /** Buffers handed out and not yet released. */
  get liveCount(): number {
    return this.#live.size;
  }

  /** Bytes on the device: of buffers in use and of those that wait for reuse. */
  get bytes(): number {
    return this.#liveBytes + this.#retainedBytes;
  }

  /** A buffer of at least `bytes`, or of just as many; its content is undefined. */
  async acquire(bytes: number, purpose: Purpose, label: string, exact = false): Promise<GPUBuffer> {
    if (this.#disposed) throw invalid("this Gpu has been disposed: open a new one with openGpu()");
    const { limits } = this.#device;
    const limit = purpose === "storage" ? largestBinding(limits) : limits.maxBufferSize;
    const size = exact || bytes > limit ? bytes : Math.min(sizeClass(bytes), limit);
    const free = this.#free.get(`${purpose}:${size}`)?.pop();
    if (free) {
      this.#retainedBytes -= size;
      this.#use(free);
      return free;
    }
    this.#makeRoom(size);
    if (size > limit) {
      throw new PushforwardError(
        "out-of-memory",
        `${label} needs a buffer of ${size} bytes, but this device allows ${limit}: pass fewer rows at a time (chunkSize, batchSize, a stream) or a smaller network`,
      );
    }
    this.#device.pushErrorScope("out-of-memory");
    const buffer = this.#device.createBuffer({
      size,
      usage: purpose === "storage" ? storageUsage : stagingUsage,
      label,
    });
    const scope = this.#device.popErrorScope();
    this.#use(buffer);
    const error = await scope.catch((reason: unknown) => {
      // the device is lost: nobody has the buffer
      this.give(buffer).destroy();
      throw reason;
    });
    if (error) {
      this.give(buffer).destroy();
      throw new PushforwardError(
        "out-of-memory",
        `the device has no room for ${size} bytes (${label}): pass a smaller chunkSize or memoryBudget (${error.message})`,
      );
    }
    return buffer;
  }

  /** Gives a buffer back. Releasing one twice is harmless. */
  release(buffer: GPUBuffer): void {
    if (!this.#live.has(buffer)) return;
    this.give(buffer);
    const purpose: Purpose = buffer.usage & 0x01 ? "staging" : "storage";
    if (this.#disposed || buffer.mapState !== "unmapped" || this.bytes + buffer.size > this.#limit) {
      buffer.destroy();
      return;
    }
    const key = `${purpose}:${buffer.size}`;
    const list = this.#free.get(key);
    if (list) list.push(buffer);
    else this.#free.set(key, [buffer]);
    this.#retainedBytes += buffer.size;
  }

  /** Hands a buffer over to the caller of the library, who destroys it. */
  give(buffer: GPUBuffer): GPUBuffer {
    if (this.#live.delete(buffer)) this.#liveBytes -= buffer.size;
    return buffer;
  }

  #use(buffer: GPUBuffer): void {
    this.#live.add(buffer);
    this.#liveBytes += buffer.size;
  }

  /** Destroys what waits for reuse, as far as it and a new buffer of `size` would not fit. */
  #makeRoom(size: number): void {
    for (const list of this.#free.values()) {
      while (this.bytes + size > this.#limit) {
        const buffer = list.pop();
        if (!buffer) break;
        this.#retainedBytes -= buffer.size;
        buffer.destroy();
      }
    }
  }

  /** Destroys what waits for reuse. */
  drop(): void {
    for (const list of this.#free.values()) for (const buffer of list) buffer.destroy();
    this.#free.clear();
    this.#retainedBytes = 0;
  }

  dispose(): void {
    this.#disposed = true;
    for (const buffer of this.#live) buffer.destroy();
    this.#live.clear();
    this.drop();
    this.#liveBytes = 0;
  }
}

/** The size of the buffer that stands for one of at least `bytes`. */
export function sizeClass(bytes: number): number {
  const mebibyte = 1 << 20;
  if (bytes >= mebibyte) return Math.ceil(bytes / mebibyte) * mebibyte;
  let size = 256;
  while (size < bytes) size *= 2;
  return size;
}
