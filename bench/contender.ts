/**
 * What takes part in a comparison: ours and the rivals do the same work with the same weights on the same adapter, behind one
 * interface. A contender is given everything as plain arrays; how it holds them is its own business.
 */
export type Home = "node" | "chrome" | "deno";

/** An MLP u_t(x): inputs are x then t, `hidden` layers of `activation`, `dim` outputs. Weights in PyTorch's names and order. */
export interface Network {
  readonly dim: number;
  readonly hidden: readonly number[];
  readonly activation: "silu" | "relu" | "tanh";
  /** "net.0.weight" [out, in], "net.0.bias" [out], "net.2.weight", … */
  readonly weights: Readonly<Record<string, Float32Array>>;
}

export type Divergence = "exact" | { readonly probe: "rademacher"; readonly probes: number };

/** One piece of work. Arrays are row-major `[n, dim]`; `n` particles are done by one `run()`. */
export type Work =
  /** u_t(x) at one time for all particles. */
  | {
      readonly kind: "velocity";
      readonly network: Network;
      readonly x: Float32Array;
      readonly n: number;
      readonly t: number;
    }
  /** The state at t = 1 of particles that are at `x` at t = 0. */
  | {
      readonly kind: "sample";
      readonly network: Network;
      readonly x: Float32Array;
      readonly n: number;
      readonly method: "euler" | "midpoint";
      readonly steps: number;
    }
  /** log p_1(x) in nats under a standard Gaussian source, by the backward ODE. */
  | {
      readonly kind: "likelihood";
      readonly network: Network;
      readonly x: Float32Array;
      readonly n: number;
      readonly method: "euler" | "midpoint";
      readonly steps: number;
      readonly divergence: Divergence;
    }
  /**
   * Training steps of `batch` samples drawn from `data` `[rows, dim]`: draw, conditional optimal-transport path, squared error,
   * gradient, Adam (learning rate 1e-3). One `run()` does `stepsPerRun` of them without reading anything back but the last loss.
   */
  | {
      readonly kind: "train";
      readonly network: Network;
      readonly data: Float32Array;
      readonly batch: number;
      readonly stepsPerRun: number;
    };

/** Work that is ready to run: compiled, warmed up, its inputs where it wants them. */
export interface Prepared {
  /** Does the work once. Resolves when its result is really there (on the device is enough), not when it was merely queued. */
  run(): Promise<void>;
  /** The result of the last run: velocities `[n, dim]`, states `[n, dim]`, log-likelihoods `[n]`, or `[loss]`. */
  result(): Promise<Float32Array>;
  dispose(): void;
}

export interface Contender {
  readonly name: string;
  readonly version: string;
  /** Prepares one work, or says in a sentence why it cannot do it here. */
  prepare(work: Work): Promise<Prepared | string>;
  dispose(): void;
}

/** A contender's module exports this. `undefined` homes are those where it does not work at all. */
export interface ContenderModule {
  readonly homes: readonly Home[];
  /** Opens on the same kind of adapter that `navigator.gpu` (or Dawn in Node) gives; `device` is ours, for those that can share it. */
  open(environment: { readonly home: Home; readonly gpu: GPU; readonly device: GPUDevice }): Promise<Contender>;
}
