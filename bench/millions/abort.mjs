// From abort() to the end of the call, and to a device that has nothing more to do.
import assert from "node:assert/strict";
import { toyData, trainFlowMatching } from "pushforward";
import { cheap, network, solver } from "./fields.mjs";
import { median, milliseconds, pause } from "./meters.mjs";

const forever = 2 ** 31 - 1;
const data = toyData("moons", 2000, 1);

/** Calls that only an abort ends. */
const works = {
  "`sampleStream`, rotation": { flow: cheap, call: (flow, signal) => consumed(flow, signal) },
  "`sampleStream`, mlp 64³": { flow: network, call: (flow, signal) => consumed(flow, signal) },
  "`moments`, rotation": { flow: cheap, call: (flow, signal) => flow.moments(forever, { solver, signal }) },
  "`trainFlowMatching`, mlp 64³, batch 1024": {
    flow: network,
    async call(flow, signal) {
      for await (const _ of trainFlowMatching(flow, data, { steps: forever, batchSize: 1024, logEvery: 20, signal }));
    },
  },
};

async function consumed(flow, signal) {
  for await (const _ of flow.sampleStream(forever, { solver, signal }));
}

export async function abort({ gpu, quick, print, random }) {
  const times = quick ? 25 : 120;
  print(`## Aborts: ${times} each, at random moments within 300 ms of the call's begin\n`);
  print("| call | abort() to the call's rejection, ms: median, worst | abort() to an idle device, ms: median, worst |");
  print("| --- | --- | --- |");
  for (const [name, { flow: make, call }] of Object.entries(works)) {
    const flow = make(gpu);
    try {
      const ended = [];
      const idle = [];
      let base;
      // the first one compiles and finds out the speed, and is not counted
      for (let i = -1; i < times; i++) {
        const stop = new AbortController();
        const reason = new Error("aborted by the benchmark");
        let aborted = 0;
        const running = call(flow, stop.signal).then(
          () => assert.fail("the call ended by itself"),
          (error) => {
            assert.equal(error, reason, "the call rejects with the signal's reason");
            return performance.now();
          },
        );
        await pause(i < 0 ? 2000 : 300 * random());
        aborted = performance.now();
        stop.abort(reason);
        const rejected = await running;
        await gpu.device.queue.onSubmittedWorkDone();
        if (i >= 0) {
          ended.push(rejected - aborted);
          idle.push(performance.now() - aborted);
          assert.equal(gpu.liveBufferCount, base, "buffers are left over");
        }
        base = gpu.liveBufferCount;
      }
      const figures = [ended, idle].map((list) => `${milliseconds(median(list))}, ${milliseconds(Math.max(...list))}`);
      print(`| ${name} | ${figures.join(" | ")} |`);
    } finally {
      flow.dispose();
    }
  }
}
