import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { adapterName } from "../spread/adapter-name.ts";
import type { Compiling } from "../spread/call-progress.ts";
import { FlowShelf } from "../spread/flow-shelf.ts";
import type { Arrays } from "../spread/parcel.ts";
import { failureIn, type RangeTask } from "../spread/range-task.ts";
import { computeRange } from "../spread/range-work.ts";
import type { Outcome } from "./range-worker.ts";

const gone: Outcome = { kind: "gone", why: "lost its device" };

/** Whether a device is there, or comes back by itself. */
export function canBeUsed(gpu: Gpu): boolean {
  try {
    gpu.assertUsable();
    return true;
  } catch {
    return false;
  }
}

/** Computes ranges on a device that it was given, or on one that it opens, and opens again when that is lost. */
export class RangeSolver {
  readonly #name: string;
  readonly #shelf: FlowShelf;

  constructor(name: string, gpu: Gpu | (() => Promise<Gpu>)) {
    this.#name = name;
    this.#shelf = new FlowShelf(gpu);
  }

  /** The name of the device's adapter. */
  async adapter(): Promise<string> {
    return adapterName(await this.#shelf.gpu());
  }

  /** @param flow its hash, by which it stays loaded, and the way to its parcel */
  async solve(
    flow: { hash: string; parcel(): Promise<Uint8Array> },
    task: RangeTask,
    input: Arrays,
    signal: AbortSignal,
    waits: (compiling: Compiling) => void,
  ): Promise<Outcome> {
    try {
      signal.throwIfAborted();
      // one that was lost between two ranges has cost none of them an attempt
      if (!canBeUsed(await this.#shelf.gpu()) && !this.#shelf.renew()) return gone;
      const loaded = await this.#shelf.flow(flow.hash, () => flow.parcel());
      const adapter = await this.adapter();
      const { figures, arrays } = await computeRange(loaded, task, input, signal, waits);
      return { kind: "done", adapter, figures, arrays };
    } catch (error) {
      const isLost = error instanceof PushforwardError && error.code === "device-lost";
      if (isLost && !this.#shelf.renew()) return gone;
      return { kind: "failed", failure: failureIn(this.#name, error) };
    }
  }

  /** Frees the flows, and the device if it was opened here. */
  dispose(): Promise<void> {
    return this.#shelf.dispose();
  }
}
