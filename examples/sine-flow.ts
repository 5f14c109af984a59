import { Flow, type FlowMatchingOptions, fitNormalization, type Gpu, mlp } from "pushforward";
import { seededUniform } from "../cli/split.ts";

/**
 * A flow of two-dimensional data by three layers of sines. The first layer's weights are drawn wide, so that its units are
 * Fourier features of the plane from the size of the whole down to its details (Tancik et al. 2020); with the usual narrow
 * start details come out blurred. `firstLayerDeviation` is theirs, in radians per deviation of the data.
 */
export async function sineFlow(gpu: Gpu, data: Float32Array, seed: number, firstLayerDeviation: number): Promise<Flow> {
  const velocity = mlp({ dim: 2, hidden: [64, 64, 64], activation: "sin" });
  const flow = Flow.create(gpu, { velocity, seed, normalization: fitNormalization(data, 2) });
  const weights = await flow.weights();
  const first = weights["net.0.weight"] ?? new Float32Array(0);
  const phases = weights["net.0.bias"] ?? new Float32Array(0);
  const inputs = first.length / phases.length;
  const uniform = seededUniform(seed + 1);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  for (const unit of phases.keys()) {
    first[unit * inputs] = firstLayerDeviation * normal();
    first[unit * inputs + 1] = firstLayerDeviation * normal();
    phases[unit] = Math.PI * (2 * uniform() - 1);
  }
  // Sines halve the variance of what they are given, so hidden layers start √2 wider than the library's default.
  for (const name of ["net.2.weight", "net.4.weight"]) {
    const hidden = weights[name] ?? new Float32Array(0);
    for (const [i, value] of hidden.entries()) hidden[i] = Math.SQRT2 * value;
  }
  flow.setWeights(weights);
  return flow;
}

/** The same layers with the first one's waves spread evenly over the scales, from the size of the whole to its details: for {@link matchingOptions}. */
export function waveFlow(gpu: Gpu, data: Float32Array, seed: number): Flow {
  const initial = { first: { frequencies: [1, 25] as [number, number] }, hidden: 2, output: 0.1 };
  const velocity = mlp({ dim: 2, hidden: [64, 64, 64], activation: "sin", initial });
  return Flow.create(gpu, { velocity, seed, normalization: fitNormalization(data, 2) });
}

/** Flow matching of it: pairs of optimal transport in large groups, which are used again, times that cover (0, 1) evenly, Muon. */
export function matchingOptions(steps: number, batchSize: number, seed: number): FlowMatchingOptions {
  return {
    steps,
    batchSize,
    seed,
    optimizer: { name: "muon", matrixRate: 6, betas: [0.9, 0.99] },
    learningRate: { peak: 5e-3, schedule: "cosine", warmup: 0.02 },
    ema: 0.999,
    time: "stratified",
    coupling: { method: "exact", group: 1024, reuse: 16 },
    logEvery: steps,
  };
}
