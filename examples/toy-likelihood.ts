/**
 * Trains a flow on each of FFJORD's toy sets by flow matching with optimal-transport pairs and prints the negative log-likelihood of fresh points beside the
 * entropy of the set, which no model can beat: `npm run entropy`, or `npm run entropy -- --sets moons,rings --steps 1000`.
 */
import { parseArgs } from "node:util";
import { openGpu, type ToyName, toyData, toyNames, trainFlowMatching } from "pushforward";
import { matchingOptions, waveFlow } from "./sine-flow.ts";
import { targets } from "./toy-sets.ts";

const { values } = parseArgs({
  options: {
    sets: { type: "string", default: toyNames.join(",") },
    steps: { type: "string", default: "4000" },
    batch: { type: "string", default: "512" },
    points: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
  },
});
const steps = Number(values.steps);
const batchSize = Number(values.batch);
const count = Number(values.points);
const seed = Number(values.seed);

const gpu = await openGpu();
console.log(
  `${gpu.info.description}: ${steps} steps of ${batchSize}, NLL of ${count} fresh points by 40 midpoint steps, exact divergence`,
);
console.log("set           entropy      NLL  excess ± error  40→80 steps  pass line  train s  eval s");
const passed: boolean[] = [];
for (const name of values.sets.split(",") as ToyName[]) {
  const data = toyData(name, 200_000, seed);
  const flow = waveFlow(gpu, data, seed);
  const start = performance.now();
  for await (const _ of trainFlowMatching(flow, data, matchingOptions(steps, batchSize, seed))) {
    // only the end counts here
  }
  const trained = performance.now();
  // another seed: points that were never trained on
  const points = toyData(name, count, seed + 1000);
  const at = async (n: number) => (await flow.logProb(points, { solver: { method: "midpoint", steps: n } })).logProb;
  const logProb = await at(40);
  const evaluated = performance.now();
  const finer = (await at(80)).slice(0);
  const nll = -logProb.reduce((sum, l) => sum + l, 0) / count;
  const nllFiner = -finer.reduce((sum, l) => sum + l, 0) / count;
  const deviation = Math.sqrt(logProb.reduce((sum, l) => sum + (l + nll) ** 2, 0) / (count - 1) / count);
  const { entropy, passLine } = targets[name];
  const excess = nll - entropy;
  passed.push(excess <= passLine && excess >= -4 * deviation);
  const cell = (value: number, digits: number, width: number) => value.toFixed(digits).padStart(width);
  console.log(
    `${name.padEnd(12)} ${cell(entropy, 4, 8)} ${cell(nll, 4, 8)} ${cell(excess, 4, 7)} ± ${cell(deviation, 4, 6)} ${cell(nllFiner - nll, 4, 12)} ${cell(passLine, 2, 10)} ${cell((trained - start) / 1000, 1, 8)} ${cell((evaluated - trained) / 1000, 1, 7)}`,
  );
  flow.dispose();
}
console.log(`${passed.filter(Boolean).length} of ${passed.length} within their pass line`);
gpu.dispose();
