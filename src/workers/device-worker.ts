import { invalid } from "../errors.ts";
import { Gpu } from "../gpu/gpu.ts";
import { show } from "../options.ts";
import type { Compiling } from "../spread/call-progress.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import type { Arrays } from "../spread/parcel.ts";
import type { RangeTask } from "../spread/range-task.ts";
import { canBeUsed, RangeSolver } from "./range-solver.ts";
import type { Outcome, RangeWorker } from "./range-worker.ts";

/** A device of this thread. */
export class DeviceWorker implements RangeWorker {
  readonly name: string;
  readonly adapter: string;
  readonly gone: Promise<string>;
  readonly #solver: RangeSolver;
  #running: Promise<Outcome> | undefined;
  #current = new AbortController();
  #isClosed = false;

  private constructor(name: string, solver: RangeSolver, adapter: string, gpu: Gpu | undefined) {
    this.name = name;
    this.adapter = adapter;
    this.#solver = solver;
    this.gone = new Promise((resolve) => {
      // a device that was opened here is opened again; others may come back by themselves
      gpu?.lost.then(() => this.#isClosed || canBeUsed(gpu) || resolve("lost its device"));
    });
  }

  /** @param gpu a device that stays its owner's, or a function that opens one for this worker */
  static async open(name: string, place: string, gpu: Gpu | (() => Promise<Gpu>)): Promise<DeviceWorker> {
    if (gpu instanceof Gpu) gpu.assertUsable();
    const isOwn = gpu instanceof Gpu;
    const open = async () => {
      const opened: unknown = await (gpu as () => Promise<Gpu>)();
      if (opened instanceof Gpu) return opened;
      throw invalid(`${place} resolved to ${show(opened)}, but it is a function that opens a device, such as openGpu`);
    };
    const solver = new RangeSolver(name, isOwn ? gpu : open);
    return new DeviceWorker(name, solver, await solver.adapter(), isOwn ? gpu : undefined);
  }

  solve(
    { hash, parcel }: CarriedFlow,
    task: RangeTask,
    input: Arrays,
    waits: (compiling: Compiling) => void,
  ): Promise<Outcome> {
    this.#current = new AbortController();
    const { signal } = this.#current;
    this.#running = this.#solver.solve({ hash, parcel: async () => parcel }, task, input, signal, waits);
    return this.#running;
  }

  abort(): void {
    this.#current.abort();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    await this.#solver.dispose();
  }
}
