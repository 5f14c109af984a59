import { trainMaximumLikelihood } from "pushforward";
import { reference, shapeOf, works } from "../networks.ts";
import { flowOf } from "../ours.ts";
import { type Bench, compare, reportRatio, seconds } from "../rounds.ts";
import { spread } from "../statistics.ts";

/** Training steps: flow matching against the rivals, maximum likelihood against its own forward solve. */
export async function train(bench: Bench): Promise<void> {
  for (const batch of bench.quick ? [4096] : [256, 1024, 4096]) {
    const stepsPerRun = Math.max(2, (bench.quick ? 32_768 : 65_536) / batch);
    await compare(bench, {
      suite: "train",
      name: `flow matching, ${shapeOf(reference())}, batch ${batch}`,
      work: works.train(reference(), batch, stepsPerRun),
    });
  }
  await maximumLikelihood(bench);
}

async function maximumLikelihood(bench: Bench): Promise<void> {
  const batch = 1024;
  const perRun = 2;
  const solver = { method: "midpoint", steps: 8 } as const;
  const network = reference();
  const { data } = works.train(network, batch, perRun);
  const name = `maximum likelihood, ${shapeOf(network)}, batch ${batch}, midpoint 8, exact`;
  bench.emit({ type: "progress", text: `train: ${name}` });
  const flow = flowOf(bench.gpu, network);
  const forward = flowOf(bench.gpu, network);
  const x = data.subarray(0, 2 * batch);
  const training = trainMaximumLikelihood(flow, data, {
    steps: 2 ** 31 - 1,
    batchSize: batch,
    solver,
    logEvery: perRun,
  });
  const base: number[] = [];
  const times: number[] = [];
  let wanted = 0;
  for (let round = -1; round < bench.rounds; round++) {
    let told: number | undefined;
    const step = await seconds(async () => {
      told = (await training.next()).value?.loss;
    });
    const once = await seconds(async () => {
      const { logProb } = await forward.logProb(x, { solver });
      wanted = -logProb.reduce((sum, value) => sum + value, 0) / batch;
    });
    if (round < 0) {
      // the first loss is that of the initial network on other rows of the same data
      if (!(Math.abs((told ?? Number.NaN) - wanted) <= 0.25 * Math.abs(wanted)))
        throw new Error(`${name}: the first loss is ${told}, but logProb gives ${wanted}: nothing is reported`);
      continue;
    }
    times.push(step / perRun);
    base.push(once);
  }
  await training.return?.();
  for (const each of [flow, forward]) each.dispose();
  bench.emit({
    type: "figure",
    figure: {
      suite: "train",
      work: name,
      contender: "pushforward",
      unit: "samples/s",
      n: batch,
      width: 64,
      ...spread(times.map((time) => batch / time)),
    },
  });
  reportRatio(bench, { suite: "train", work: `${name}: cost of a step`, unit: "× logProb of the batch", times, base });
}
