import { defaultStore } from "#provider";
import { PushforwardError } from "../errors.ts";
import { checked } from "../options/schema.ts";
import { type GpuInfo, type GpuOptions, requestDevice } from "./adapter.ts";
import { gpuFields, mebibyte } from "./fields.ts";
import { reopenDevice } from "./reopen.ts";
import { type DeviceProfile, Session, type Tuning } from "./session.ts";
import type { TextStore } from "./store.ts";

const noTuning: Tuning = { measure: false, store: undefined };

/**
 * A device with what the library keeps on it: compiled pipelines and recycled buffers. A device that was lost is opened anew by the
 * calls that need one, running calls included, unless it was passed in or `recover` is false.
 * Made by {@link openGpu}; `dispose` frees the buffers and destroys the device, unless it was passed in.
 */
export class Gpu {
  readonly info: GpuInfo;
  /** Bytes that running calls may hold on the device, all together. */
  readonly memoryBudget: number;
  readonly #profile: DeviceProfile;
  readonly #owned: boolean;
  readonly #reopen: (() => Promise<GPUDevice>) | undefined;
  #session: Session;
  #reopening: Promise<Session> | undefined;
  #disposed = false;

  /** @internal `reopen` gives a device of the same kind when one was lost; without it a loss is for good. */
  constructor(device: GPUDevice, profile: DeviceProfile, owned: boolean, reopen?: () => Promise<GPUDevice>) {
    this.info = profile.info;
    this.memoryBudget = profile.memoryBudget;
    this.#profile = profile;
    this.#owned = owned;
    this.#reopen = reopen;
    this.#session = new Session(device, profile);
  }

  /** The device in use. After a loss it is another one from the first call on that needs it. */
  get device(): GPUDevice {
    return this.#session.device;
  }

  /** Resolves when {@link device} is lost, be it by `dispose`; the next device has a promise of its own. */
  get lost(): Promise<GPUDeviceLostInfo> {
    return this.#session.lost;
  }

  /** Buffers in use by running calls and living flows. Back at its old value after every call. */
  get liveBufferCount(): number {
    return this.#session.buffers.liveCount;
  }

  /** Whether the device in use is lost, and no call has opened another one yet. */
  get isLost(): boolean {
    return this.#session.isLost;
  }

  /** @internal What the device in use has, lost or not. */
  get current(): Session {
    return this.#session;
  }

  /** @internal Neither disposed nor lost. */
  get isUsable(): boolean {
    return !this.#disposed && !this.#session.isLost;
  }

  /** Throws `device-lost` when the device was lost for good, and `invalid-argument` after `dispose`. */
  assertUsable(): void {
    if (this.#disposed || !this.#reopen) this.#session.assertUsable();
  }

  /** @internal A device that can be used, opened anew where it was lost. */
  session(): Promise<Session> {
    if (!this.#disposed && this.#reopen && this.#session.isLost) {
      this.#reopening ??= this.#openAnew(this.#reopen).finally(() => {
        this.#reopening = undefined;
      });
      return this.#reopening;
    }
    const session = this.#session;
    return session.isDisposed || session.isLost ? Promise.reject(session.lostError()) : Promise.resolve(session);
  }

  async #openAnew(reopen: () => Promise<GPUDevice>): Promise<Session> {
    const lost = this.#session;
    const device = await reopen().catch((error: unknown) => {
      const why = `${lost.whyLost()} and none could be opened in its place: ${String(error)}`;
      const remedy = "after crashes a browser gives one again in two minutes, or when the page is reloaded";
      throw new PushforwardError("device-lost", `${why}; ${remedy}`, { cause: error });
    });
    if (this.#disposed) {
      device.destroy();
      throw lost.lostError();
    }
    this.#session = new Session(device, this.#profile);
    return this.#session;
  }

  /** Frees all buffers and destroys the device, unless it was passed in. May be called twice. */
  dispose(): void {
    this.#disposed = true;
    this.#session.dispose(this.#owned);
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
  const own = checked("openGpu", gpuFields, options, "");
  const { memoryBudget, tune, recover } = own;
  const { device, info } = await requestDevice(own);
  const givenStore = typeof tune === "object" ? tune.store : undefined;
  const tuning: Tuning =
    tune === false
      ? noTuning
      : { measure: tune === undefined ? !info.software : true, store: givenStore ?? keptChoices() };
  const profile: DeviceProfile = {
    info,
    memoryBudget:
      memoryBudget ?? (info.software ? 256 * mebibyte : Math.min(1024 * mebibyte, device.limits.maxBufferSize)),
    tuning,
    speed: info.software ? 1e9 : 2e11,
  };
  const owned = own.device === undefined;
  return new Gpu(device, profile, owned, owned && recover ? () => reopenDevice(own, info) : undefined);
}
