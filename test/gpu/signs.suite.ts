import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { withFlow } from "./losing.ts";

const solver = { method: "midpoint", steps: 2 } as const;
const velocity = pf.mlp({ dim: 2, hidden: [16] });
const data = pf.toyData("moons", 150);

async function drained(iterable: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of iterable);
}

type Hear = (progress: pf.Progress) => void;

const calls: Record<string, [total: number, call: (flow: pf.Flow, onProgress: Hear) => Promise<unknown>]> = {
  "sample with log p": [200, (flow, onProgress) => flow.sample(200, { solver, logProb: true, onProgress })],
  velocity: [150, (flow, onProgress) => flow.velocity(data, 0.5, { onProgress })],
  trainFlowMatching: [2, (flow, onProgress) => drained(pf.trainFlowMatching(flow, data, { steps: 2, onProgress }))],
  flowMatchingGradients: [
    150,
    (flow, onProgress) => {
      const t = new Float32Array(150).fill(0.5);
      return pf.flowMatchingGradients(flow, { x0: data, x1: data, t }, { onProgress });
    },
  ],
  likelihoodGradients: [150, (flow, onProgress) => pf.likelihoodGradients(flow, data, { solver, onProgress })],
};

for (const [name, [total, call]] of Object.entries(calls)) {
  test(`a call tells of itself within a second, also while kernels are compiled, and at its end: ${name}`, async ({
    gpu,
  }) => {
    const heard: pf.Progress[] = [];
    const times = [performance.now()];
    await withFlow(gpu, velocity, (flow) =>
      call(flow, (progress) => {
        heard.push(progress);
        times.push(performance.now());
      }),
    );
    expect(heard.at(-1)).toMatchObject({ done: total, total, secondsLeft: 0 });
    expect((times[1] ?? Number.POSITIVE_INFINITY) - (times[0] ?? 0)).toBeLessThan(1000);
    for (const { done, total: all, compiling } of heard) {
      expect(all).toBe(total);
      if (!compiling) continue;
      expect([compiling.done >= 0, compiling.done < compiling.total, done < total]).toEqual([true, true, true]);
    }
  });
}

test("what onProgress throws ends the call with that, and leaves nothing behind", async ({ gpu }) => {
  const fault = new Error("no bar");
  const before = gpu.liveBufferCount;
  const onProgress = () => {
    throw fault;
  };
  const calling = withFlow(gpu, velocity, (flow) => flow.sample(500, { solver, chunkSize: 100, onProgress }));
  await expect(calling).rejects.toBe(fault);
  expect(gpu.liveBufferCount).toBe(before);
});
