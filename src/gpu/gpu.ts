import { defaultStore } from "#provider";
import { invalid, PushforwardError } from "../errors.ts";
import { checkKeys } from "../options.ts";
import { type GpuInfo, type GpuOptions, requestDevice } from "./adapter.ts";
import { BufferPool } from "./buffers.ts";
import { PipelineCache } from "./pipelines.ts";
import type { TextStore } from "./store.ts";

const mebibyte = 1 << 20;

/** How a device finds the tilings of its fused kernels. */
export interface Tuning {
  /** Whether tilings are timed on the device. */
  readonly measure: boolean;
  /** Whether kept choices are looked up and new ones kept. */
  readonly store: TextStore | undefined;
}

const noTuning: Tuning = { measure: false, store: undefined };

/**
 * A device with what the library keeps on it: compiled pipelines and recycled buffers.
 * Made by {@link openGpu}; `dispose` frees the buffers and destroys the device, unless it was passed in.
 */
export class Gpu {
  readonly device: GPUDevice;
  readonly info: GpuInfo;
  /** Bytes that running calls may hold on the device, all together. */
  readonly memoryBudget: number;
  /** Resolves when the device is lost, be it by `dispose`. */
  readonly lost: Promise<GPUDeviceLostInfo>;
  /** @internal */ readonly buffers: BufferPool;
  /** @internal */ readonly pipelines: PipelineCache;
  /** @internal */ readonly tuning: Tuning;
  /** @internal Floating-point operations per second of what was measured last, kept up to date by the scheduler. */
  speed: number;
  /** @internal Called once when the device is lost; running calls stand here, so that nothing of them is kept afterwards. */
  readonly onLost = new Set<() => void>();
  readonly #owned: boolean;
  #lost: GPUDeviceLostInfo | undefined;
  #disposed = false;

  /** @internal */
  constructor(device: GPUDevice, info: GpuInfo, owned: boolean, memoryBudget: number | undefined, tuning = noTuning) {
    this.device = device;
    this.info = info;
    this.#owned = owned;
    this.memoryBudget =
      memoryBudget ?? (info.software ? 256 * mebibyte : Math.min(1024 * mebibyte, device.limits.maxBufferSize));
    this.buffers = new BufferPool(device, this.memoryBudget);
    this.pipelines = new PipelineCache(device);
    this.tuning = tuning;
    this.speed = info.software ? 1e9 : 2e11;
    this.lost = device.lost.then((lost) => {
      this.#lost = lost;
      for (const told of [...this.onLost]) told();
      return lost;
    });
  }

  /** Buffers in use by running calls and living flows. Back at its old value after every call. */
  get liveBufferCount(): number {
    return this.buffers.liveCount;
  }

  /** Throws `device-lost` or `invalid-argument` when the device can no longer be used. */
  assertUsable(): void {
    if (this.#disposed) throw invalid("this Gpu has been disposed: open a new one with openGpu()");
    if (this.#lost) throw this.lostError();
  }

  /** @internal */
  lostError(cause?: unknown): PushforwardError {
    const why = this.#lost ? ` (${this.#lost.reason}: ${this.#lost.message})` : "";
    return new PushforwardError(
      "device-lost",
      `the GPU device was lost${why}: open a new one with openGpu() and load the flow again`,
      {
        cause,
      },
    );
  }

  /** @internal Neither disposed nor lost. */
  get isUsable(): boolean {
    return !this.#disposed && !this.#lost;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Frees all buffers and destroys the device, unless it was passed in. May be called twice. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.buffers.dispose();
    if (this.#owned) this.device.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The platform's store, or none where it cannot be had (no home folder, no permission). */
function keptChoices(): TextStore | undefined {
  try {
    return defaultStore();
  } catch {
    return undefined;
  }
}

/**
 * Opens a WebGPU device: the browser's or Deno's own, or Dawn in Node.
 *
 * @throws PushforwardError `no-adapter` when there is none (the message says what to install), `invalid-argument` for bad options.
 * @example
 * import { openGpu } from "pushforward";
 * const gpu = await openGpu();
 * console.log(gpu.info.description);
 * gpu.dispose();
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  checkKeys("openGpu", options, [
    "device",
    "adapter",
    "powerPreference",
    "software",
    "memoryBudget",
    "recover",
    "tune",
  ]);
  const { memoryBudget, software } = options;
  if (memoryBudget !== undefined && !(Number.isFinite(memoryBudget) && memoryBudget >= mebibyte)) {
    throw invalid(
      `memoryBudget is ${memoryBudget}, but it is a number of bytes and at least ${mebibyte}: leave it out for the default`,
    );
  }
  if (software !== undefined && !["allow", "forbid", "require"].includes(software)) {
    throw invalid(`software is "${String(software)}", but it is "allow", "forbid" or "require"`);
  }
  const { tune } = options;
  const ownStore = typeof tune === "object" && tune !== null ? tune.store : undefined;
  if (typeof tune === "object" && (typeof ownStore?.get !== "function" || typeof ownStore.set !== "function")) {
    throw invalid(
      "tune is an object without a store: pass { store: { get(key), set(key, value) } } whose methods return promises, true or false",
    );
  }
  if (tune !== undefined && typeof tune !== "object" && typeof tune !== "boolean") {
    throw invalid(`tune is ${String(tune)}, but it is true, false or { store }`);
  }
  const { device, info } = await requestDevice(options);
  const tuning: Tuning =
    tune === false
      ? noTuning
      : { measure: tune === undefined ? !info.software : true, store: ownStore ?? keptChoices() };
  return new Gpu(device, info, options.device === undefined, memoryBudget, tuning);
}
