import { keepLost } from "#provider";
import { invalid, PushforwardError } from "../errors.ts";
import type { GpuInfo } from "./adapter.ts";
import { BufferPool } from "./buffers.ts";
import { PipelineCache } from "./pipelines.ts";
import type { TextStore } from "./store.ts";

/** How a device finds the tilings of its fused kernels. */
export interface Tuning {
  /** Whether tilings are timed on the device. */
  readonly measure: boolean;
  /** Whether kept choices are looked up and new ones kept. */
  readonly store: TextStore | undefined;
}

/** What is known of a device, and holds as well for the one that is opened in its place when it was lost. */
export interface DeviceProfile {
  readonly info: GpuInfo;
  /** Bytes that running calls may hold on the device, all together. */
  readonly memoryBudget: number;
  readonly tuning: Tuning;
  /** Floating-point operations per second of what was measured last, kept up to date by the scheduler. */
  speed: number;
}

/** SwiftShader compiles a kernel when its pipeline is made, as drivers of GPUs do; other adapters in software when it first runs. */
const compilesInFirstRun = ({ software, vendor, architecture, description }: GpuInfo) =>
  software && !/swiftshader/i.test(`${vendor} ${architecture} ${description}`);

/** One device with what the library keeps on it, compiled pipelines and recycled buffers, from its opening until it is lost. */
export class Session {
  readonly device: GPUDevice;
  readonly profile: DeviceProfile;
  readonly buffers: BufferPool;
  readonly pipelines: PipelineCache;
  readonly lost: Promise<GPUDeviceLostInfo>;
  /** Called once when the device is lost; running calls stand here, so that nothing of them is kept afterwards. */
  readonly onLost: Set<() => void> = new Set();
  #lost: GPUDeviceLostInfo | undefined;
  #disposed = false;

  constructor(device: GPUDevice, profile: DeviceProfile) {
    this.device = device;
    this.profile = profile;
    this.buffers = new BufferPool(device, profile.memoryBudget);
    this.pipelines = new PipelineCache(device, compilesInFirstRun(profile.info));
    this.lost = device.lost.then((lost) => {
      this.#lost = lost;
      if (lost.reason !== "destroyed") keepLost(device);
      for (const told of [...this.onLost]) told();
      return lost;
    });
  }

  get info(): GpuInfo {
    return this.profile.info;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  /** Throws `device-lost` or `invalid-argument` when the device can no longer be used. */
  assertUsable(): void {
    if (this.#disposed || this.#lost) throw this.lostError();
  }

  /** Why the device can no longer be used. */
  lostError(cause?: unknown): PushforwardError {
    if (this.#disposed) return invalid("this Gpu has been disposed: open a new one with openGpu()");
    const remedy = "open a new one with openGpu() and load the flow again";
    return new PushforwardError("device-lost", `${this.whyLost()}: ${remedy}`, { cause });
  }

  /** The first words of an error about the loss. */
  whyLost(): string {
    return `the GPU device was lost${this.#lost ? ` (${this.#lost.reason}: ${this.#lost.message})` : ""}`;
  }

  /**
   * Whether the device is lost. A loss announces itself a little later than the failures that come of it, so where an error may be
   * one of them, this waits for the announcement, though not for long.
   */
  async hasGone(): Promise<boolean> {
    for (let turn = 0; turn < turnsOfLoss && !this.#lost; turn++) {
      await Promise.race([this.lost, new Promise<void>((resolve) => setTimeout(resolve, turn))]);
    }
    return this.isLost;
  }

  /** Frees all buffers; `destroy` takes the device along. May be called twice. */
  dispose(destroy: boolean): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.buffers.dispose();
    if (destroy) this.device.destroy();
  }
}

/** Turns of the event loop, each a millisecond longer than the one before it: a tenth of a second in all. */
const turnsOfLoss = 14;
