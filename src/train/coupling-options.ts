/**
 * Pairs of noise and data by minibatch optimal transport (Pooladian et al. 2023; Tong et al. 2024, §3.2): within groups of samples
 * the rows are exchanged so that Σ |x_1 − x_0|² is least, which makes paths straighter the larger the groups are. Pairs are used
 * several times, each time with a time of its own: they lie in a pool, of which groups leave in the order in which they came. What is
 * drawn depends on the seed and the step alone, so trainings are resumed to the same bits; the pool is then computed anew.
 *
 * With labels, rows are exchanged within their class. With context, contexts count as well: a sample's x_0 comes with the context c′
 * of the row that was drawn with it, and Σ |x_1 − x_0|² + w Σ_k (c_k − c′_k)²/s_k² is least, with the context c of x_1 and the standard
 * deviations s of its columns (Kerrigan et al. 2024; Chemseddine et al. 2024).
 *
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const coupling = { method: "exact", group: 512, reuse: 8 } as const;
 * for await (const { step, transportCost } of trainFlowMatching(flow, toyData("moons", 1000), { steps: 20, logEvery: 10, coupling }))
 *   console.log(step, transportCost?.coupled, transportCost?.independent);
 * gpu.dispose();
 */
export type OptimalTransport = ExactTransport | SinkhornTransport;

/** Options of every {@link OptimalTransport}. */
interface Transport {
  /** How often a pair is used on average: 4 by default. With 1 each is used once, in order, and there is no pool. */
  reuse?: number;
  /** Pairs that are kept and drawn from, in whole groups. Default: those of 32 groups, by Sinkhorn's algorithm of 8. */
  pool?: number;
  /**
   * w: how much distances of contexts count beside those of states. It must be given where there is context. As it grows, each
   * context keeps the whole source; as it falls, paths become straighter, but contexts get sources of their own.
   */
  contextWeight?: number;
}

/**
 * Pairs that are exactly the best of their group, on threads of this machine, while the device trains; where no thread can be started
 * (a page's policy, a file that a bundler left behind), on this one, which they then hold up, to the same bits.
 */
export interface ExactTransport extends Transport {
  method: "exact";
  /** Samples that are paired with each other, from 2 to 1,024; default 256. In a plane, 256 take about 4 ms and 1,024 about 80 ms. */
  group?: number;
  /** Default: half of the processors, at most 4. 0: none. The bits do not depend on it. */
  threads?: number;
}

/**
 * Pairs drawn from the plan of entropic optimal transport (Cuturi 2013), on the device: for groups that are too large to be assigned
 * exactly. Each sample of the source is paired with a row that is drawn by its row of the plan. Half a step costs group² · (3 dim + 12)
 * operations, a group 2 · iterations of them: milliseconds on a GPU, seconds on an adapter in software, where exact pairs are faster.
 * {@link TrainingStep}'s `transportCost` tells how far the plan is from its marginals.
 */
export interface SinkhornTransport extends Transport {
  method: "sinkhorn";
  /** Samples that are paired with each other, a multiple of 32 up to 65,536. Default 2,048. */
  group?: number;
  /**
   * ε in means of the cost |x_1 − x_0|² over independent pairs, contexts included. Smaller is closer to the best pairs, and takes
   * more iterations. Default 0.01; with a `bridge` 2σ², which makes the pairs those of its Schrödinger bridge.
   */
  regularization?: number;
  /** Steps of Sinkhorn's algorithm, over the first half of which ε falls to its value from 1. Default 100. */
  iterations?: number;
}

/**
 * Pairs that are given: row i of `source` belongs to row i of the data, as in a coupling (Z_0, Z_1) of rectified flow (Liu et al. 2023),
 * whose rows the trained flow then joins by straighter paths; `"paired"` stands for `{ method: "paired" }`. Pairs are drawn together, so
 * `rowOrder`, `rowWeights`, `labels` and `context` go with them. `reflowPairs` and `distillationPairs` of "pushforward/few-steps" make some.
 *
 * With `from` and `to` a pair is a step: the row of the source is where a particle is at its time `from`, that of the data where it is at `to`,
 * and u(x, from) learns its mean velocity, their difference over to − from. There is no path between, so `path`, `time`, `weighting`, `bridge` and
 * `validation` are errors then.
 *
 * @example
 * import { Flow, mlp, openGpu, trainFlowMatching } from "pushforward";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 1, hidden: [16] }) });
 * const [before, after] = [Float32Array.of(-1, 0, 1, 2), Float32Array.of(-2, 0, 2, 4)]; // the same four, measured twice
 * const options = { steps: 20, source: before, coupling: "paired" } as const;
 * for await (const { loss } of trainFlowMatching(flow, after, options)) console.log(loss);
 * gpu.dispose();
 */
export interface GivenPairs {
  method: "paired";
  /** Times [n]. */
  from?: Float32Array;
  /** Times [n], not equal to those of `from`. */
  to?: Float32Array;
}
