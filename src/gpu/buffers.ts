import { invalid, PushforwardError } from "../errors.ts";

/** Buffers that kernels read and write, and that can be uniform sources, copied and cleared. */
const storageUsage = 0x80 | 0x40 | 0x08 | 0x04; // STORAGE | UNIFORM | COPY_DST | COPY_SRC
const stagingUsage = 0x01 | 0x08; // MAP_READ | COPY_DST

type Purpose = "storage" | "staging";

/**
 * Recycles buffers by size class, counts what is alive, and turns a failed allocation into `out-of-memory`.
 * Sizes are rounded up to a power of two below 1 MiB and to a multiple of 1 MiB above, so that calls of similar size share.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #retainLimit: number;
  readonly #free = new Map<string, GPUBuffer[]>();
  readonly #live = new Set<GPUBuffer>();
  #retainedBytes = 0;
  #disposed = false;

  constructor(device: GPUDevice, retainLimit: number) {
    this.#device = device;
    this.#retainLimit = retainLimit;
  }

  /** Buffers handed out and not yet released. */
  get liveCount(): number {
    return this.#live.size;
  }

  get liveBytes(): number {
    let bytes = 0;
    for (const buffer of this.#live) bytes += buffer.size;
    return bytes;
  }

  /** A buffer of at least `bytes`, or of just as many; its content is undefined. */
  async acquire(bytes: number, purpose: Purpose, label: string, exact = false): Promise<GPUBuffer> {
    if (this.#disposed) throw invalid("this Gpu has been disposed: open a new one with openGpu()");
    const size = exact ? bytes : sizeClass(bytes);
    const free = this.#free.get(`${purpose}:${size}`)?.pop();
    if (free) {
      this.#retainedBytes -= size;
      this.#live.add(free);
      return free;
    }
    const limit = this.#device.limits.maxBufferSize;
    if (size > limit) {
      throw new PushforwardError(
        "out-of-memory",
        `${label} needs a buffer of ${size} bytes, but this device allows ${limit}: pass a smaller chunkSize, or use a stream`,
      );
    }
    this.#device.pushErrorScope("out-of-memory");
    const buffer = this.#device.createBuffer({
      size,
      usage: purpose === "storage" ? storageUsage : stagingUsage,
      label,
    });
    const scope = this.#device.popErrorScope();
    this.#live.add(buffer);
    const error = await scope;
    if (error) {
      this.#live.delete(buffer);
      buffer.destroy();
      throw new PushforwardError(
        "out-of-memory",
        `the device has no room for ${size} bytes (${label}): pass a smaller chunkSize or memoryBudget (${error.message})`,
      );
    }
    return buffer;
  }

  /** Gives a buffer back. Releasing one twice is harmless. */
  release(buffer: GPUBuffer): void {
    if (!this.#live.delete(buffer)) return;
    const purpose: Purpose = buffer.usage & 0x01 ? "staging" : "storage";
    if (this.#disposed || buffer.mapState !== "unmapped" || this.#retainedBytes + buffer.size > this.#retainLimit) {
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
    this.#live.delete(buffer);
    return buffer;
  }

  dispose(): void {
    this.#disposed = true;
    for (const buffer of this.#live) buffer.destroy();
    for (const list of this.#free.values()) for (const buffer of list) buffer.destroy();
    this.#live.clear();
    this.#free.clear();
    this.#retainedBytes = 0;
  }
}

function sizeClass(bytes: number): number {
  const mebibyte = 1 << 20;
  if (bytes >= mebibyte) return Math.ceil(bytes / mebibyte) * mebibyte;
  let size = 256;
  while (size < bytes) size *= 2;
  return size;
}
