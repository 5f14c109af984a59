// What each of two calls at once on one device gets of it: its rate beside the other by its rate alone.
import { toyData, trainFlowMatching } from "pushforward";
import { cheap, network, solver } from "./fields.mjs";
import { pause } from "./meters.mjs";

const forever = 2 ** 31 - 1;
const data = toyData("moons", 2000, 1);

/** Each counts particles, or samples, until it is aborted. Chunks are short, so that few are cut off by the end of the measurement. */
const streamed = (chunkSize) => async (flow, signal, tally) => {
  for await (const { count } of flow.sampleStream(forever, { solver, signal, chunkSize })) tally.done += count;
};
const trained = (logEvery) => async (flow, signal, tally) => {
  const onProgress = ({ done }) => {
    tally.done = done;
  };
  const options = { steps: forever, batchSize: 1024, logEvery, signal, onProgress };
  for await (const _ of trainFlowMatching(flow, data, options));
};

/** Rates of calls that run at once for a while, after they have warmed up. */
async function rates(calls, seconds) {
  const stop = new AbortController();
  const tallies = calls.map(() => ({ done: 0 }));
  const running = calls.map(([call, flow], i) =>
    call(flow, stop.signal, tallies[i]).catch((error) => {
      if (!stop.signal.aborted) throw error;
    }),
  );
  await pause(700 * seconds);
  const before = tallies.map(({ done }) => done);
  const start = performance.now();
  await pause(1000 * seconds);
  const passed = (performance.now() - start) / 1000;
  const found = tallies.map(({ done }, i) => (done - before[i]) / passed);
  stop.abort();
  await Promise.all(running);
  return found;
}

export async function fairness({ gpu, quick, print }) {
  const seconds = quick ? 1.5 : 5;
  print(`## Two calls at once: the rate of each by its rate alone (${seconds} s each)\n`);
  print("| first call | second call | first's share | second's share |");
  print("| --- | --- | --- | --- |");
  const flows = [cheap(gpu), cheap(gpu), network(gpu), network(gpu)];
  const [field, other, mlp, learner] = flows;
  const named = {
    "`sampleStream`, rotation": [streamed(32_768), field],
    "`sampleStream`, rotation, another flow": [streamed(32_768), other],
    "`sampleStream`, mlp 64³": [streamed(1024), mlp],
    "`trainFlowMatching`, mlp 64³": [trained(100), learner],
    "`trainFlowMatching`, mlp 64³, its loss read every 4 steps": [trained(4), learner],
  };
  try {
    const names = Object.keys(named);
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [2, 3],
      [0, 3],
      [0, 4],
    ]) {
      const pair = [named[names[a]], named[names[b]]];
      // alone before and after, so that a neighbour on the same cores shows less
      const before = [await rates([pair[0]], seconds / 2), await rates([pair[1]], seconds / 2)];
      const both = await rates(pair, seconds);
      const after = [await rates([pair[0]], seconds / 2), await rates([pair[1]], seconds / 2)];
      const shares = both.map((rate, i) => (2 * rate) / (before[i][0] + after[i][0]));
      print(`| ${names[a]} | ${names[b]} | ${shares.map((share) => share.toFixed(2)).join(" | ")} |`);
    }
    const n = quick ? 300_000 : 2_000_000;
    const done = [0, 0];
    let left;
    await Promise.all(
      [field, other].map(async (flow, i) => {
        for await (const { count } of flow.sampleStream(n, { solver, chunkSize: 65_536 })) done[i] += count;
        left ??= n - done[1 - i];
      }),
    );
    print(
      `\nTwo equal streams of ${n} particles, begun at once: when the first was done, the other had ${((100 * left) / n).toFixed(1)} % left.`,
    );
  } finally {
    for (const flow of flows) flow.dispose();
  }
}
