import * as pf from "pushforward";
import { expect } from "../suite.ts";
import { lose, ownGpu, withFlow } from "./losing.ts";

/** A training by flow matching, with checkpoints every so many steps, and the step at which a device is lost. */
export interface Interrupted {
  readonly velocity: pf.FlowOptions["velocity"];
  readonly data: Float32Array;
  readonly options: pf.FlowMatchingOptions;
  readonly every: number;
  readonly lostAt: number;
}

/**
 * A training has the same bits when it is resumed from its first checkpoint, and when its device is lost on the way. Gives how it is
 * resumed from there with other options.
 */
export async function expectGoesOn(gpu: pf.Gpu, { velocity, data, options, every, lostAt }: Interrupted) {
  const run = (on: pf.Gpu, own: Partial<pf.FlowMatchingOptions> = {}, disturb: (step: number) => void = () => {}) =>
    withFlow(on, velocity, async (flow) => {
      const saved: Uint8Array[] = [];
      const checkpoint = { every, save: (bytes: Uint8Array) => void saved.push(bytes) };
      for await (const { step } of pf.trainFlowMatching(flow, data, { ...options, checkpoint, ...own })) disturb(step);
      return { saved, weights: await flow.weights() };
    });
  const wanted = await run(gpu);
  const [resume = new Uint8Array()] = wanted.saved;
  expect((await run(gpu, { resume })).weights).toEqual(wanted.weights);
  const { gpu: other } = await ownGpu();
  expect(await run(other, {}, (step) => void (step === lostAt && lose(other)))).toEqual(wanted);
  other.dispose();
  return (own: Partial<pf.FlowMatchingOptions>) => run(gpu, { resume, ...own });
}
