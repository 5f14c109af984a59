/**
 * Trains a small flow on two moons and evaluates how likely it makes new ones: exact log-probabilities in nats, and what
 * they owe to the number of solver steps.
 */
import { Flow, fitNormalization, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";

const steps = Number(process.env.STEPS ?? 2000);
const gpu = await openGpu();
const data = toyData("moons", 20_000, 1);
const flow = Flow.create(gpu, {
  velocity: mlp({ dim: 2, hidden: [64, 64, 64] }),
  normalization: fitNormalization(data, 2),
});

for await (const { step, loss } of trainFlowMatching(flow, data, {
  steps,
  batchSize: 256,
  ema: 0.99,
  logEvery: steps / 10,
})) {
  process.stdout.write(`step ${step}: loss ${loss.toFixed(4)}\n`);
}

const fresh = toyData("moons", 5_000, 2);
for (const solverSteps of [5, 10, 20]) {
  const { logProb } = await flow.logProb(fresh, { solver: { method: "midpoint", steps: solverSteps } });
  const mean = logProb.reduce((sum, value) => sum + value, 0) / logProb.length;
  process.stdout.write(`mean log p of new moons, midpoint with ${solverSteps} steps: ${mean.toFixed(4)} nats\n`);
}
flow.dispose();
gpu.dispose();
