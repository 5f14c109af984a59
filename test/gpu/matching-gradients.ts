import * as pf from "pushforward";
import { gradientError } from "../oracle/differences.ts";
import { flowMatching } from "../oracle/losses.ts";
import { network } from "../oracle/mlp.ts";
import { expect, expectClose } from "../suite.ts";
import { conditionsFor, uniformArray } from "./inputs.ts";

/** Flow matching's loss and gradients of n samples agree with the f64 oracle. */
export async function expectMatchingGradients(gpu: pf.Gpu, options: pf.MlpOptions, n: number): Promise<void> {
  const velocity = pf.mlp(options);
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const { dim } = options;
  const [x0, x1, t] = [uniformArray(n * dim, -2, 2, 1), uniformArray(n * dim, -2, 2, 2), uniformArray(n, 0, 1, 3)];
  const { options: given, conditionOf } = conditionsFor(velocity, n, 4);
  const got = await pf.flowMatchingGradients(flow, { x0, x1, t, ...given });
  const wanted = flowMatching(network(velocity, await flow.weights()), { x0, x1, t, conditionOf });
  expectClose([got.loss], [wanted.loss], { relative: 1e-5 });
  // gradients: 1e-4 relative to the whole gradient
  expect(gradientError(got.gradients, wanted.gradients)).toBeLessThan(1e-4);
  flow.dispose();
}
