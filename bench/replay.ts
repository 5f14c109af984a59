import type { Gpu } from "pushforward";
import type { Home } from "./contender.ts";

type Bindings = Parameters<GPUComputePassEncoder["setBindGroup"]>;
type Write = Parameters<GPUQueue["writeBuffer"]>;

interface Recorded {
  readonly pipeline: GPUComputePipeline;
  readonly bindings: Bindings;
  readonly workgroups: Parameters<GPUComputePassEncoder["dispatchWorkgroups"]>;
}

/** What went to the device with one submit: small uploads (parameters of the dispatches), then the dispatches. */
interface Submitted {
  readonly writes: Write[];
  readonly dispatches: Recorded[];
}

/**
 * The dispatches of a call, for running the very same kernels again on the same buffers with nothing around them: the honest
 * 100 % of a stream. The buffers wait in the library's pool, so a replay comes right after the call, before any other.
 */
export class Replay {
  readonly #gpu: Gpu;
  readonly #home: Home;
  readonly #submits: readonly Submitted[];

  private constructor(gpu: Gpu, home: Home, submits: readonly Submitted[]) {
    this.#gpu = gpu;
    this.#home = home;
    this.#submits = submits;
  }

  /** Runs `call` and records what it submits, in order. */
  static async of(gpu: Gpu, home: Home, call: () => Promise<unknown>): Promise<Replay> {
    const pass = GPUComputePassEncoder.prototype;
    const queue = GPUQueue.prototype;
    const { setPipeline, setBindGroup, dispatchWorkgroups } = pass;
    const { writeBuffer, submit } = queue;
    const submits: Submitted[] = [];
    let next: Submitted = { writes: [], dispatches: [] };
    let pipeline: GPUComputePipeline | undefined;
    let bindings: Bindings | undefined;
    pass.setPipeline = function (chosen) {
      pipeline = chosen;
      setPipeline.call(this, chosen);
    };
    // one of two overloads, whose arguments are passed on as they came
    pass.setBindGroup = function (this: GPUComputePassEncoder, ...all: Bindings) {
      bindings = all;
      setBindGroup.apply(this, all);
    } as GPUComputePassEncoder["setBindGroup"];
    pass.dispatchWorkgroups = function (...workgroups) {
      if (pipeline && bindings) next.dispatches.push({ pipeline, bindings, workgroups });
      dispatchWorkgroups.apply(this, workgroups);
    };
    queue.writeBuffer = function (...write) {
      next.writes.push(write);
      writeBuffer.apply(this, write);
    };
    queue.submit = function (commands) {
      if (next.dispatches.length > 0) {
        submits.push(next);
        next = { writes: [], dispatches: [] };
      }
      submit.call(this, commands);
    };
    try {
      await call();
    } finally {
      Object.assign(pass, { setPipeline, setBindGroup, dispatchWorkgroups });
      Object.assign(queue, { writeBuffer, submit });
    }
    if (submits.length === 0) throw new Error("the call that was to be replayed dispatched nothing");
    return new Replay(gpu, home, submits);
  }

  /**
   * Seconds of `times` replays. In Node a pending promise costs a core: it sleeps over most of what is `expected`, and begins
   * anew with a shorter sleep when that was longer than the work.
   */
  async run(times: number, expected: number): Promise<number> {
    const { device } = this.#gpu;
    const start = performance.now();
    for (let i = 0; i < times; i++) this.#submit();
    if (this.#home === "node") await new Promise((resolve) => setTimeout(resolve, 900 * expected));
    const asked = performance.now();
    await device.queue.onSubmittedWorkDone();
    const seconds = (performance.now() - start) / 1000;
    const overslept = expected > 0 && this.#home === "node" && performance.now() - asked < 10 * seconds;
    return overslept ? this.run(times, 0.8 * expected) : seconds;
  }

  #submit(): void {
    const { device } = this.#gpu;
    for (const { writes, dispatches } of this.#submits) {
      for (const write of writes) device.queue.writeBuffer(...write);
      const encoder = device.createCommandEncoder({ label: "replay" });
      const pass = encoder.beginComputePass();
      for (const { pipeline, bindings, workgroups } of dispatches) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(...bindings);
        pass.dispatchWorkgroups(...workgroups);
      }
      pass.end();
      device.queue.submit([encoder.finish()]);
    }
  }
}
