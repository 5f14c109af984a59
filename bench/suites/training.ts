import {
  Flow,
  type Gpu,
  mlp,
  openGpu,
  type TrainingStep,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";
import { multiplyAdds } from "../flops.ts";
import { uniform } from "../networks.ts";
import { type Bench, reportRatio, seconds } from "../rounds.ts";
import { median, spread } from "../statistics.ts";

const hidden = [96, 96, 96];
const shape = "3→96→96→96→2 sin";
const F = multiplyAdds({ dim: 2, hidden });
const sampled = 4096;
const solver = { method: "midpoint", steps: 10 } as const;
const backward = { method: "midpoint", steps: 6 } as const;

const flowOn = (gpu: Gpu) => Flow.create(gpu, { velocity: mlp({ dim: 2, hidden, activation: "sin" }), seed: 1 });

interface Training {
  readonly name: string;
  readonly batch: number;
  /** Steps from one telling of the loss to the next. */
  readonly told: number;
  /** Floating-point operations of a sample and step. */
  readonly flops: number;
  begin(flow: Flow, data: Float32Array, logEvery: number): AsyncIterableIterator<TrainingStep>;
}

/** Flow matching: forward, reverse and weight gradients, 2F each. */
const flowMatching = (batch: number, told: number): Training => ({
  name: `flow matching, batch ${batch}`,
  batch,
  told,
  flops: 6 * F,
  begin: (flow, data, logEvery) => trainFlowMatching(flow, data, { steps: 2 ** 31 - 1, batchSize: batch, logEvery }),
});

/**
 * Likelihood, exact divergence in two dimensions: of a midpoint step's two stages one is a value, the other a value with two tangents.
 * Each of these four is made once by the solve (2F) and goes forward, in reverse and into the weight gradients once more (6F).
 */
const likelihood: Training = {
  name: `likelihood, batch 256, midpoint ${backward.steps}, exact`,
  batch: 256,
  told: 2,
  flops: backward.steps * 4 * 8 * F,
  begin: (flow, data, logEvery) =>
    trainMaximumLikelihood(flow, data, { steps: 2 ** 31 - 1, batchSize: 256, solver: backward, logEvery }),
};

/** How near training comes to the rate of sampling, side by side in the same rounds, and when the first loss is told. */
export async function training(bench: Bench): Promise<void> {
  const data = uniform(8000, 1.5, 4);
  const trainings = [flowMatching(512, 20), flowMatching(4096, 4), likelihood];
  for (const one of trainings) await firstStep(bench, one, data);

  bench.emit({ type: "progress", text: "training: rates beside sampling" });
  const flow = flowOn(bench.gpu);
  const x = uniform(2 * sampled, 1.5, 3);
  const running = trainings.map((one) => {
    const own = flowOn(bench.gpu);
    return { ...one, own, steps: one.begin(own, data, one.told), times: [] as number[] };
  });
  const sampling: number[] = [];
  try {
    for (let round = -1; round < bench.rounds; round++) {
      const time = await seconds(async () => (await flow.push(x, { solver, output: "gpu" })).x.destroy());
      if (round >= 0) sampling.push(time);
      for (const { name, steps, times } of running) {
        let told: TrainingStep | undefined;
        const time = await seconds(async () => {
          told = (await steps.next()).value ?? undefined;
        });
        if (!Number.isFinite(told?.loss)) throw new Error(`${name}: the loss is ${told?.loss}: nothing is reported`);
        if (round >= 0) times.push(time);
      }
    }
  } finally {
    for (const { steps, own } of running) {
      await steps.return?.();
      own.dispose();
    }
    flow.dispose();
  }
  const samplingFlops = sampled * solver.steps * 4 * F;
  const report = (work: string, n: number, flops: number, times: readonly number[], unit: string) =>
    bench.emit({
      type: "figure",
      figure: {
        suite: "training",
        work,
        contender: "pushforward",
        unit,
        n,
        width: 96,
        ...spread(times.map((time) => n / time)),
        flops: flops / median(times),
      },
    });
  report(`sampling, ${shape}, midpoint ${solver.steps}`, sampled, samplingFlops, sampling, "particles/s");
  for (const { name, batch, told, flops, times } of running) {
    const n = batch * told;
    report(`${name}, ${shape}`, n, n * flops, times, "samples/s");
    // of the rates of floating-point operations, so the times are those of one operation
    reportRatio(bench, {
      suite: "training",
      work: `${name}: its operations a second`,
      unit: "× sampling's",
      times: sampling.map((time) => time / samplingFlops),
      base: times.map((time) => time / (n * flops)),
    });
  }
}

/** From the call to the first loss, on a device that has compiled nothing yet. */
async function firstStep(bench: Bench, { name, begin }: Training, data: Float32Array): Promise<void> {
  bench.emit({ type: "progress", text: `training: first step of ${name}` });
  const times: number[] = [];
  for (let round = 0; round < (bench.quick ? 1 : 3); round++) {
    const gpu = await openGpu();
    try {
      const steps = begin(flowOn(gpu), data, 1);
      times.push(1000 * (await seconds(() => steps.next())));
      await steps.return?.();
    } finally {
      gpu.dispose();
    }
  }
  bench.emit({
    type: "figure",
    figure: {
      suite: "training",
      work: `${name}, ${shape}: first loss after`,
      contender: "pushforward",
      unit: "ms",
      ...spread(times),
    },
  });
}
