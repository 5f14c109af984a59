import type { Network, Work } from "./contender.ts";

/**
 * F = Σ s_{l−1}·s_l over the layer sizes, time among the inputs: multiply-adds of one velocity evaluation, hence 2F
 * floating-point operations. Activations and biases are left out, for everybody.
 */
export function multiplyAdds({ dim, hidden }: Pick<Network, "dim" | "hidden">): number {
  const sizes = [dim + 1, ...hidden, dim];
  return sizes.slice(1).reduce((sum, size, l) => sum + size * (sizes[l] ?? 0), 0);
}

const stages = { euler: 1, midpoint: 2 } as const;

/**
 * Operations of a value with `tangents` basis tangents when only the trace is wanted: a basis tangent through the first layer is a
 * column of W_1 (nothing), through the last layer only its own entry is needed (H instead of H·dim multiply-adds).
 */
function exactFlops(network: Network): number {
  const { dim, hidden } = network;
  const first = hidden[0] ?? 0;
  const last = hidden[hidden.length - 1] ?? 0;
  const value = multiplyAdds(network);
  const middle = value - (dim + 1) * first - last * dim;
  return 2 * (value + dim * (middle + last));
}

/**
 * Floating-point operations of one piece of work, by formula:
 * - velocity: 2F a particle;
 * - sample: 2F · stages · steps (midpoint has 2 stages);
 * - likelihood: as sample, but the stage with a weight (one, of euler and of midpoint) carries tangents: 2F(1 + d) less the free
 *   ends for an exact divergence, 2F(1 + K) for K probes;
 * - train: 6F a sample and step — forward 2F, reverse 2F, weight gradients 2F.
 */
export function flopsOf(work: Work): number {
  const F = multiplyAdds(work.network);
  switch (work.kind) {
    case "velocity":
      return work.n * 2 * F;
    case "sample":
      return work.n * work.steps * stages[work.method] * 2 * F;
    case "likelihood": {
      const tracked = work.divergence === "exact" ? exactFlops(work.network) : 2 * F * (1 + work.divergence.probes);
      return work.n * work.steps * ((stages[work.method] - 1) * 2 * F + tracked);
    }
    case "train":
      return work.batch * work.stepsPerRun * 6 * F;
  }
}

/** Particles, or samples, that one run of the work does. */
export function particlesOf(work: Work): number {
  return work.kind === "train" ? work.batch * work.stepsPerRun : work.n;
}
