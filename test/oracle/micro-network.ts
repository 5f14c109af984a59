import type { ActivationName } from "./activations.ts";
import type { MlpSpec } from "./mlp.ts";

/** The fixed network 3 → 5 → 4 → 2, whose outputs and gradients are known to ten digits. */
export function microNetwork(activation: ActivationName): { spec: MlpSpec; weights: Record<string, Float64Array> } {
  const sizes = [3, 5, 4, 2] as const;
  const weights: Record<string, Float64Array> = {};
  for (const l of [0, 1, 2] as const) {
    const inputs = sizes[l];
    const outputs = sizes[(l + 1) as 1 | 2 | 3];
    weights[`net.${2 * l}.weight`] = Float64Array.from(
      { length: outputs * inputs },
      (_, k) => (1.5 * Math.sin(1 + 17 * l + 5 * Math.floor(k / inputs) + 3 * (k % inputs))) / Math.sqrt(inputs),
    );
    weights[`net.${2 * l}.bias`] = Float64Array.from({ length: outputs }, (_, i) => 0.3 * Math.cos(1 + 11 * l + i));
  }
  return { spec: { dim: 2, hidden: [5, 4], activation }, weights };
}
