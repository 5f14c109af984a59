/**
 * Sampling and exact log-likelihood of the reference network (MLP 3→64→64→64→2, silu, midpoint, 10 steps) as GFLOP/s and as a share
 * of the adapter's measured multiply-add ceiling, in interleaved rounds of one process: `npm run bench`.
 *
 * FLOPs by formula: a velocity evaluation is 2F, F = Σ s_{l−1}·s_l = 8,512; a trajectory of 10 midpoint steps has 20 of them, 340,480.
 */
import { parseArgs } from "node:util";
import { Flow, mlp, openGpu } from "pushforward";
import { prepareCeiling } from "./ceiling.mjs";

const { values } = parseArgs({
  options: { count: { type: "string", default: String(1 << 16) }, rounds: { type: "string", default: "5" } },
});
const count = Number(values.count);
const rounds = Number(values.rounds);
const steps = 10;
const sizes = [3, 64, 64, 64, 2];
const F = sizes.slice(1).reduce((sum, size, l) => sum + size * sizes[l], 0);
const trajectoryFlops = 2 * F * 2 * steps;

const gpu = await openGpu();
const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64] }), seed: 1 });
const solver = { method: "midpoint", steps };
const ceiling = await prepareCeiling(gpu.device);

/** The network in f64: a wrong kernel must not be reported. */
async function check() {
  const weights = await flow.weights();
  const velocity = (x, t) => {
    let h = [...x, t];
    for (let l = 0; l + 1 < sizes.length; l++) {
      const weight = weights[`net.${2 * l}.weight`];
      const bias = weights[`net.${2 * l}.bias`];
      const z = Array.from({ length: sizes[l + 1] }, (_, j) =>
        h.reduce((sum, value, i) => sum + weight[j * sizes[l] + i] * value, bias[j]),
      );
      h = l + 2 < sizes.length ? z.map((a) => a / (1 + Math.exp(-a))) : z;
    }
    return h;
  };
  const { x, x0 } = await flow.sample(257, { solver });
  for (const p of [0, 1, 255, 256]) {
    let y = [x0[2 * p], x0[2 * p + 1]];
    for (let k = 0; k < steps; k++) {
      const h = 1 / steps;
      const u = velocity(y, k * h);
      const half = velocity(
        y.map((value, i) => value + (h / 2) * u[i]),
        (k + 0.5) * h,
      );
      y = y.map((value, i) => value + h * half[i]);
    }
    for (const i of [0, 1])
      if (Math.abs(y[i] - x[2 * p + i]) > 1e-5 * (1 + Math.abs(y[i])))
        throw new Error(`particle ${p} is ${x[2 * p + i]}, but f64 gives ${y[i]}: nothing is reported`);
  }
}
await check();

const timed = async (work) => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
};
const { x } = await flow.sample(count, { solver });
await flow.logProb(x.slice(0, 2 * 4096), { solver });
const results = { ceiling: [], sample: [], likelihood: [] };
for (let round = 0; round < rounds; round++) {
  results.ceiling.push(await ceiling.measure());
  results.sample.push(count / (await timed(() => flow.sample(count, { solver, seed: round }))));
  results.likelihood.push(count / (await timed(() => flow.logProb(x, { solver }))));
}
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const giga = (rate) => `${(rate / 1e9).toFixed(2)} GFLOP/s`;
const best = median(results.ceiling);
const sampleRate = median(results.sample);
const likelihoodRate = median(results.likelihood);
console.log(`${gpu.info.description}; n = ${count}, medians of ${rounds} rounds`);
console.log(`ceiling      ${giga(best)} (${ceiling.shape})`);
console.log(
  `sample       ${Math.round(sampleRate)} particles/s, ${giga(sampleRate * trajectoryFlops)}, ${((100 * sampleRate * trajectoryFlops) / best).toFixed(0)} % of the ceiling`,
);
console.log(
  `likelihood   ${Math.round(likelihoodRate)} particles/s, ${(sampleRate / likelihoodRate).toFixed(2)} times the time of sampling (exact divergence)`,
);
ceiling.dispose();
flow.dispose();
gpu.dispose();
