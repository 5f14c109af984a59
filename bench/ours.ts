import { Flow, type Gpu, mlp, type TrainingStep, trainFlowMatching } from "pushforward";
import type { Contender, Prepared, Work } from "./contender.ts";

const version = "this checkout";

/** pushforward itself, by its public names. States stay on the device; log-likelihoods and velocities come to the host. */
export function ours(gpu: Gpu): Contender {
  return { name: "pushforward", version, prepare: async (work) => prepareOurs(gpu, work), dispose() {} };
}

/** The flow of a work's network. */
export function flowOf(gpu: Gpu, { dim, hidden, activation, weights }: Work["network"]): Flow {
  return Flow.create(gpu, { velocity: mlp({ dim, hidden: [...hidden], activation }), weights: { ...weights } });
}

function prepareOurs(gpu: Gpu, work: Work): Prepared {
  const flow = flowOf(gpu, work.network);
  switch (work.kind) {
    case "velocity":
      return hostResult(flow, () => flow.velocity(work.x, work.t));
    case "likelihood": {
      const { method, steps, divergence } = work;
      return hostResult(
        flow,
        async () => (await flow.logProb(work.x, { solver: { method, steps }, divergence })).logProb,
      );
    }
    case "sample":
      return residentStates(gpu, flow, work);
    case "train":
      return training(flow, work);
  }
}

function hostResult(flow: Flow, compute: () => Promise<Float32Array>): Prepared {
  let last: Float32Array | undefined;
  return {
    async run() {
      last = await compute();
    },
    result: async () => last ?? compute(),
    dispose: () => flow.dispose(),
  };
}

function residentStates(gpu: Gpu, flow: Flow, work: Extract<Work, { kind: "sample" }>): Prepared {
  const solver = { method: work.method, steps: work.steps };
  let last: GPUBuffer | undefined;
  return {
    async run() {
      const { x } = await flow.push(work.x, { solver, output: "gpu" });
      last?.destroy();
      last = x;
    },
    async result() {
      if (!last) throw new Error("nothing has been run");
      const { device } = gpu;
      const bytes = work.n * work.network.dim * 4;
      const copy = device.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(last, 0, copy, 0, bytes);
      device.queue.submit([encoder.finish()]);
      await copy.mapAsync(GPUMapMode.READ);
      const values = new Float32Array(copy.getMappedRange().slice(0));
      copy.destroy();
      return values;
    },
    dispose() {
      last?.destroy();
      flow.dispose();
    },
  };
}

/** One long training that tells its loss every `stepsPerRun` steps; a run goes on to the next telling. */
function training(flow: Flow, { data, batch, stepsPerRun }: Extract<Work, { kind: "train" }>): Prepared {
  const steps = trainFlowMatching(flow, data, { steps: 2 ** 31 - 1, batchSize: batch, logEvery: stepsPerRun });
  let last: TrainingStep | undefined;
  return {
    async run() {
      const { value, done } = await steps.next();
      if (done) throw new Error("the training has ended");
      last = value;
    },
    result: async () => Float32Array.of(last?.loss ?? Number.NaN),
    dispose() {
      void Promise.resolve(steps.return?.()).finally(() => flow.dispose());
    },
  };
}
