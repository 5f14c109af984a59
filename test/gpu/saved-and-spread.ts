import * as pf from "pushforward";
import { openWorkers } from "pushforward/workers";
import { expect } from "../suite.ts";

/** Samples of a flow with log p, which are the same from its file and from a worker. */
export async function savedAndSpread(
  gpu: pf.Gpu,
  flow: pf.Flow,
  count: number,
  options: Pick<pf.SampleOptions, "solver" | "seed" | "logProb">,
) {
  const { x, logProb } = await flow.sample(count, options);
  using again = pf.Flow.load(gpu, await flow.save());
  expect((await again.sample(count, options)).x).toEqual(x);
  const workers = await openWorkers({ workers: [gpu] });
  const spread = await workers.sample(flow, count, options);
  expect([spread.x, spread.logProb]).toEqual([x, logProb]);
  await workers.close();
  return { x, logProb };
}
