import type { ToyName } from "pushforward";

/** Differential entropies in nats, by quadrature, and the excess that a good flow stays below. */
export const targets: Record<ToyName, { entropy: number; passLine: number }> = {
  "8gaussians": { entropy: 2.83188041, passLine: 0.1 },
  moons: { entropy: 2.3938792, passLine: 0.1 },
  circles: { entropy: 3.26813571, passLine: 0.1 },
  swissroll: { entropy: 2.66964617, passLine: 0.1 },
  rings: { entropy: 2.62318277, passLine: 0.2 },
  pinwheel: { entropy: 2.3176, passLine: 0.2 },
  "2spirals": { entropy: 2.64545028, passLine: 0.2 },
  checkerboard: { entropy: 3.4657359, passLine: 0.2 },
};
