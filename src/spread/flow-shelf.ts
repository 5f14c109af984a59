import { Gpu } from "../gpu/gpu.ts";
import { type LoadedFlow, unpackFlow } from "./carried-flow.ts";

/** Flows that stay loaded. */
const kept = 4;

function free({ flow, score }: LoadedFlow): void {
  flow.dispose();
  score?.dispose();
}

/** A worker's device and the flows that it has loaded last, by their hashes. */
export class FlowShelf {
  readonly #open: (() => Promise<Gpu>) | undefined;
  /** The one used last is at the end. */
  readonly #flows = new Map<string, LoadedFlow>();
  #gpu: Promise<Gpu> | undefined;
  /** Whether the device is lost and there is no way to another one. */
  isLost = false;

  constructor(gpu: Gpu | (() => Promise<Gpu>)) {
    this.#open = gpu instanceof Gpu ? undefined : gpu;
    if (gpu instanceof Gpu) this.#gpu = Promise.resolve(gpu);
  }

  /** The device, opened when it is first needed. */
  gpu(): Promise<Gpu> {
    if (!this.#gpu) {
      if (!this.#open) throw new Error("a device was passed in");
      this.#gpu = this.#open().catch((error: unknown) => {
        this.#gpu = undefined;
        throw error;
      });
    }
    return this.#gpu;
  }

  /** Makes the next range open a new device; false when none can be opened. */
  renew(): boolean {
    this.#drop();
    if (!this.#open) {
      this.isLost = true;
      return false;
    }
    this.#gpu?.then((gpu) => gpu.dispose()).catch(() => undefined);
    this.#gpu = undefined;
    return true;
  }

  async flow(hash: string, parcel: () => Promise<Uint8Array>): Promise<LoadedFlow> {
    const gpu = await this.gpu();
    const known = this.#flows.get(hash);
    this.#flows.delete(hash);
    const flow = known ?? unpackFlow(gpu, await parcel());
    this.#flows.set(hash, flow);
    const [oldest] = this.#flows;
    if (this.#flows.size > kept && oldest) {
      free(oldest[1]);
      this.#flows.delete(oldest[0]);
    }
    return flow;
  }

  #drop(): void {
    for (const flow of this.#flows.values()) free(flow);
    this.#flows.clear();
  }

  /** Frees the flows, and the device if it was opened here. */
  async dispose(): Promise<void> {
    this.#drop();
    if (this.#open) await this.#gpu?.then((gpu) => gpu.dispose()).catch(() => undefined);
  }
}
