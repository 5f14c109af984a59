import { expect, test } from "vitest";
import { gradientError, weightDifferences } from "../oracle/differences.ts";
import { likelihood } from "../oracle/losses.ts";
import { microNetwork } from "../oracle/micro-network.ts";
import { network } from "../oracle/mlp.ts";
import { timesOf } from "../oracle/ode.ts";

const x = [0.3, -0.7, 1.2, 0.4, -0.8, 0.9];
const probes = [
  [0.7, -1.1],
  [1.3, 0.2],
];

for (const how of ["exact", "probes"] as const) {
  test(`the oracle's gradient with penalties is that of finite differences: ${how}`, () => {
    const { spec, weights } = microNetwork("tanh");
    const options = {
      method: "heun2",
      times: timesOf(1, 0, 3),
      regularization: { kineticEnergy: 0.7, jacobianFrobenius: 0.4 },
      ...(how === "probes" && { divergenceOf: () => probes }),
    } as const;
    const loss = (changed: typeof weights) => likelihood(network(spec, changed), x, options).loss;
    const { gradients } = likelihood(network(spec, weights), x, options);
    expect(gradientError(gradients, weightDifferences(loss, weights))).toBeLessThan(1e-8);
    expect(loss(weights)).toBeGreaterThan(
      likelihood(network(spec, weights), x, { ...options, regularization: { kineticEnergy: 0, jacobianFrobenius: 0 } })
        .loss,
    );
  });
}
