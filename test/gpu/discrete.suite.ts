import * as pf from "pushforward";
import { gradientError, weightDifferences } from "../oracle/differences.ts";
import { differentiableNetwork, discreteLogLikelihood, discreteLoss } from "../oracle/discrete.ts";
import { network } from "../oracle/mlp.ts";
import { type Method, timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, rowOf, uniformArray } from "./inputs.ts";

interface Case {
  velocity: pf.MlpOptions;
  n: number;
  method?: Method & pf.Solver["method"];
  steps?: number;
  source?: { mean: number[]; std: number[] };
  kineticEnergy?: number;
}

/** Ralston's method of third order, as a caller writes a tableau. */
const ralston3 = { a: [[], [1 / 2], [0, 3 / 4]], b: [2 / 9, 1 / 3, 4 / 9], c: [0, 1 / 2, 3 / 4] };

const cases: Record<string, Case> = {
  "two dimensions, midpoint": { velocity: { dim: 2, hidden: [8, 5] }, n: 37 },
  "one dimension, euler": { velocity: { dim: 1, hidden: [9], activation: "tanh" }, n: 65, method: "euler", steps: 3 },
  "three dimensions, a tableau of one's own, time first": {
    velocity: { dim: 3, hidden: [7], inputOrder: "t,x" },
    n: 9,
    method: ralston3,
  },
  "rk4, layer by layer": { velocity: { dim: 2, hidden: [130] }, n: 5, method: "rk4", steps: 1 },
  "three dimensions, layer by layer": { velocity: { dim: 3, hidden: [130] }, n: 5, steps: 1, kineticEnergy: 0.7 },
  "Fourier time, classes, context and another source": {
    velocity: { dim: 2, hidden: [6], time: { fourier: 2 }, classes: 3, context: 2 },
    n: 19,
    source: { mean: [0.3, -1], std: [0.7, 2] },
  },
  "kinetic energy, heun2": { velocity: { dim: 2, hidden: [7] }, n: 19, method: "heun2", kineticEnergy: 0.8 },
};

/** Weights larger than initial ones, so that second derivatives matter and steps are far from the flow. */
async function strengthen(flow: pf.Flow): Promise<Record<string, Float32Array>> {
  const weights = Object.fromEntries(
    Object.entries(await flow.weights()).map(([key, values]) => [
      key,
      values.map((w, i) => 1.5 * w + 0.1 * Math.sin(i)),
    ]),
  );
  flow.setWeights(weights);
  return weights;
}

const gaussian =
  ({ mean, std }: { mean: number[]; std: number[] }) =>
  (y: ArrayLike<number>) =>
    Array.from(y).reduce((sum, value, i) => {
      const s = std[i] ?? 1;
      return sum - ((value - (mean[i] ?? 0)) / s) ** 2 / 2 - Math.log(s * Math.sqrt(2 * Math.PI));
    }, 0);

for (const [name, { velocity: options, n, method = "midpoint", steps = 2, source, kineticEnergy }] of Object.entries(
  cases,
)) {
  test(`log p of the steps themselves, its loss and its gradient agree with f64: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const { dim } = options;
    const flow = pf.Flow.create(gpu, {
      velocity,
      seed: 3,
      ...(source && { source: { distribution: "gaussian", ...source } }),
    });
    const weights = await strengthen(flow);
    const x = uniformArray(n * dim, -1.5, 1.5, 1);
    const conditions = conditionsFor(velocity, n, 4);
    const solver = { method, steps } as pf.Solver;
    const common = { solver, objective: "discrete", ...conditions.options } as const;
    const times = timesOf(1, 0, steps);
    const net = network(velocity, weights);
    const density = source && gaussian(source);
    const wanted = Array.from({ length: n }, (_, i) =>
      discreteLogLikelihood(
        differentiableNetwork(net, conditions.conditionOf(i)),
        rowOf(x, dim, i),
        method,
        times,
        density,
      ),
    );
    const scored = await flow.logProb(x, common);
    expectClose(
      scored.logProb,
      wanted.map(({ logProb }) => logProb),
      { relative: 1e-5, absolute: 1e-5 },
    );
    expectClose(
      scored.x0,
      forRows(n, (i) => wanted[i]?.x0 ?? []),
      { relative: 1e-5, absolute: 1e-5 },
    );
    const got = await pf.likelihoodGradients(flow, x, {
      ...common,
      ...(kineticEnergy && { regularization: { kineticEnergy } }),
    });
    const loss = (given: Record<string, ArrayLike<number>>) =>
      discreteLoss(network(velocity, given), x, {
        method,
        times,
        conditionOf: conditions.conditionOf,
        ...(density && { source: density }),
        ...(kineticEnergy && { kineticEnergy }),
      });
    expectClose([got.loss], [loss(weights)], { relative: 1e-5 });
    expect(gradientError(got.gradients, weightDifferences(loss, weights))).toBeLessThan(1e-4);
    flow.dispose();
  });
}
