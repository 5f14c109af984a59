import * as pf from "pushforward";
import { openWorkers } from "pushforward/workers";
import { expect, test } from "../suite.ts";
import { withFlow } from "./losing.ts";

const solver = { method: "midpoint", steps: 2 } as const;
const narrow = pf.mlp({ dim: 2, hidden: [4] });
const wide = pf.mlp({ dim: 3, hidden: [144] });
const swirl = pf.wgslVelocity({
  dim: 2,
  code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1] + t, sin(x[0]) * x[1]); }",
});
const data = pf.toyData("moons", 150);
const rows = data.subarray(0, 2 * 130);
const chunkSize = 65;

async function drained(iterable: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of iterable);
}

type Call = (flow: pf.Flow, signal: AbortSignal) => Promise<unknown>;

const training = (signal: AbortSignal) => ({
  steps: 2,
  batchSize: 65,
  logEvery: 1,
  ema: 0.9,
  signal,
  validation: { data: data.subarray(0, 2 * 65), every: 2 },
  checkpoint: { every: 2, save: () => undefined },
});

/** A call of every kind that can be aborted, small enough to be aborted everywhere. */
const calls: Record<string, [pf.FlowOptions["velocity"], Call]> = {
  "sample with log p": [narrow, (flow, signal) => flow.sample(130, { solver, logProb: true, chunkSize, signal })],
  "push of a layered network": [wide, (flow, signal) => flow.push(data.subarray(0, 3 * 65), { solver, signal })],
  "sample whose result stays on the device": [
    narrow,
    async (flow, signal) => {
      const { x, x0 } = await flow.sample(130, { solver, output: "gpu", chunkSize, signal });
      x.destroy();
      x0?.destroy();
    },
  ],
  "log p by probes, in WGSL": [
    swirl,
    (flow, signal) => flow.logProb(rows, { solver, divergence: { probe: "gaussian", probes: 2 }, chunkSize, signal }),
  ],
  "push with dopri5": [narrow, (flow, signal) => flow.push(rows, { solver: { method: "dopri5", rtol: 0.1 }, signal })],
  moments: [narrow, (flow, signal) => flow.moments(130, { solver, signal })],
  sampleStream: [
    narrow,
    (flow, signal) => drained(flow.sampleStream(130, { solver, logProb: true, chunkSize, signal })),
  ],
  logProbStream: [narrow, (flow, signal) => drained(flow.logProbStream([rows, rows], { solver, signal }))],
  Jᵀ·w: [narrow, (flow, signal) => flow.vjp(rows, 0.5, rows, { signal })],
  trainFlowMatching: [narrow, (flow, signal) => drained(pf.trainFlowMatching(flow, data, training(signal)))],
  trainMaximumLikelihood: [
    narrow,
    (flow, signal) => drained(pf.trainMaximumLikelihood(flow, data, { ...training(signal), solver })),
  ],
};

/**
 * Has `visit` told of every question to the device from now on, right before and right after it is asked: errors of a scope, a
 * pipeline, a map. Each is where a call waits. Gives what ends that.
 */
function watchQuestions(device: GPUDevice, visit: () => void): () => void {
  const asks = <T extends object>(owner: T, name: keyof T & string) => {
    const ask = (owner[name] as (...given: unknown[]) => unknown).bind(owner);
    const told = (...given: unknown[]) => {
      visit();
      const answer = ask(...given);
      visit();
      return answer;
    };
    Object.defineProperty(owner, name, { value: told, configurable: true });
  };
  asks(device, "popErrorScope");
  asks(device, "createComputePipelineAsync");
  const create = device.createBuffer.bind(device);
  const createBuffer = (descriptor: GPUBufferDescriptor) => {
    const buffer = create(descriptor);
    asks(buffer, "mapAsync");
    return buffer;
  };
  Object.defineProperty(device, "createBuffer", { value: createBuffer, configurable: true });
  return () => {
    for (const name of ["popErrorScope", "createComputePipelineAsync", "createBuffer"] as const)
      Reflect.deleteProperty(device, name);
  };
}

/** How a call ends that is aborted at its question number `place`, and how many of its buffers are left then. */
async function abortedAt(gpu: pf.Gpu, [velocity, call]: [pf.FlowOptions["velocity"], Call], place: number) {
  gpu.current.buffers.drop(); // so that every buffer is made anew
  const base = gpu.liveBufferCount;
  const stop = new AbortController();
  let questions = 0;
  const stopWatching = watchQuestions(gpu.device, () => {
    if (questions++ === place) stop.abort("enough");
  });
  const outcome = await withFlow(gpu, velocity, (flow) => call(flow, stop.signal)).then(
    () => "done",
    (error: unknown) => (error === "enough" ? "aborted" : String(error)),
  );
  const left = gpu.liveBufferCount - base;
  stopWatching();
  return { outcome, left, isOver: questions <= place };
}

for (const [name, call] of Object.entries(calls)) {
  test(`wherever an abort meets it, a call has given back every buffer when it rejects: ${name}`, async ({
    gpu,
    home,
  }) => {
    // the questions are the same everywhere: elsewhere than in Node, where they are answered at once, one in some will do
    const stride = home === "node" ? 1 : 13;
    const faults: string[] = [];
    let aborted = 0;
    for (let place = 0, isOver = false; !isOver; place += stride) {
      const { outcome, left, ...end } = await abortedAt(gpu, call, place);
      isOver = end.isOver;
      if (left !== 0) faults.push(`question ${place}: ${left} buffers are left`);
      if (outcome === "aborted") aborted++;
      // an abort that comes with the last questions may come too late
      else if (outcome !== "done") faults.push(`question ${place}: ${outcome}`);
    }
    expect(faults.join("\n")).toBe("");
    expect(aborted > 8 / stride).toBe(true);
  });
}

test("workers have given back every buffer of a call when it rejects, wherever an abort meets it", async ({ gpu }) => {
  const workers = await openWorkers({ workers: [gpu] });
  const flow = pf.Flow.create(gpu, { velocity: narrow, seed: 1 });
  const sample = (signal?: AbortSignal) =>
    workers.sample(flow, 1030, { solver, rangeSize: 1024, ...(signal && { signal }) });
  await sample(); // the worker's own copy of the flow is on the device
  const call: [pf.FlowOptions["velocity"], Call] = [narrow, (_, signal) => sample(signal)];
  const lefts: number[] = [];
  for (let place = 0, isOver = false; !isOver; place++) {
    const { left, ...end } = await abortedAt(gpu, call, place);
    isOver = end.isOver;
    lefts.push(left);
  }
  expect(lefts.length > 8).toBe(true);
  expect(lefts.filter((left) => left !== 0)).toEqual([]);
  flow.dispose();
  await workers.close();
});
