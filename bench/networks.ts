import { generator } from "../test/gpu/inputs.ts";
import type { Network, Work } from "./contender.ts";

/** `length` numbers, uniform in [−limit, limit): the same for every contender in every home. */
export function uniform(length: number, limit: number, seed: number): Float32Array {
  const next = generator(seed);
  return Float32Array.from({ length }, () => limit * (2 * next() - 1));
}

/** An MLP with weights uniform in ±√(3/inputs): activations keep their size through the layers. */
export function makeNetwork(
  dim: number,
  hidden: readonly number[],
  activation: Network["activation"] = "silu",
): Network {
  const sizes = [dim + 1, ...hidden, dim];
  const weights: Record<string, Float32Array> = {};
  for (let l = 0; l + 1 < sizes.length; l++) {
    const [inputs = 0, outputs = 0] = [sizes[l], sizes[l + 1]];
    weights[`net.${2 * l}.weight`] = uniform(outputs * inputs, Math.sqrt(3 / inputs), 10 + l);
    weights[`net.${2 * l}.bias`] = uniform(outputs, 0.1, 50 + l);
  }
  return { dim, hidden, activation, weights };
}

/** The reference network of every report: 3→64→64→64→2, silu. */
export const reference = (): Network => makeNetwork(2, [64, 64, 64]);

/** "3→64→64→64→2 silu" */
export function shapeOf({ dim, hidden, activation }: Network): string {
  return `${[dim + 1, ...hidden, dim].join("→")} ${activation}`;
}

type WorkOf<Kind extends Work["kind"]> = Extract<Work, { kind: Kind }>;

/** The works of the suites, with particles drawn from ±1.5. */
export const works = {
  velocity: (network: Network, n: number): WorkOf<"velocity"> => ({
    kind: "velocity",
    network,
    n,
    t: 0.4,
    x: uniform(n * network.dim, 1.5, 3),
  }),
  sample: (network: Network, n: number, method: "euler" | "midpoint" = "midpoint", steps = 10): WorkOf<"sample"> => ({
    kind: "sample",
    network,
    n,
    method,
    steps,
    x: uniform(n * network.dim, 1.5, 3),
  }),
  likelihood: (
    network: Network,
    n: number,
    divergence: WorkOf<"likelihood">["divergence"],
    steps = 10,
  ): WorkOf<"likelihood"> => ({
    kind: "likelihood",
    network,
    n,
    method: "midpoint",
    steps,
    divergence,
    x: uniform(n * network.dim, 1.5, 3),
  }),
  train: (network: Network, batch: number, stepsPerRun: number): WorkOf<"train"> => ({
    kind: "train",
    network,
    batch,
    stepsPerRun,
    data: uniform(20_000 * network.dim, 1.5, 4),
  }),
};
