/**
 * Flows from one sample set to another, as torchcfm's tutorials train them: `npm run data-to-data`. From a Gaussian to eight Gaussians, and
 * from these to two moons, by independent pairs and by optimal-transport ones; prints how near the pushed samples are to fresh ones and
 * how straight their paths are, beside the figures of Tong et al. 2024 (table 2), and writes the table with `--report <file.md>`.
 */
import { parseArgs } from "node:util";
import { Flow, mlp, openGpu, trainFlowMatching } from "pushforward";
import { wasserstein2 } from "pushforward/diagnostics";
import { writeWhole } from "../cli/files.ts";
import { placeFor } from "./outputs.ts";
import { eightGaussians, normalizedPathEnergy, standardNormals, twoMoons } from "./transport-tasks.ts";

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "10000" },
    points: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    report: { type: "string" },
  },
});
placeFor(values.report);
const [steps, points, seed] = [values.steps, values.points, values.seed].map(Number) as [number, number, number];

const tasks = [
  {
    name: "N(0, I) → 8gaussians",
    from: standardNormals,
    to: eightGaussians,
    published: { independent: 0.222, exact: 0.018 },
  },
  { name: "8gaussians → moons", from: eightGaussians, to: twoMoons, published: { independent: 2.738, exact: 0.053 } },
];
const couplings = { independent: "independent", exact: { method: "exact", group: 256 } } as const;

const gpu = await openGpu();
const adapter = gpu.info.description || gpu.info.architecture;
const head = ["task", "pairs", "W₂ (floor)", "path energy", "theirs", "train s"];
const rows = [head, head.map(() => "---")];
for (const { name, from, to, published } of tasks) {
  const [source, data] = [from(50_000, seed), to(50_000, seed + 10)];
  const [starts, ends, fresh] = [from(points, seed + 100), to(points, seed + 110), to(points, seed + 120)];
  for (const kind of ["independent", "exact"] as const) {
    const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64], activation: "selu" }), seed });
    const began = performance.now();
    const options = { steps, batchSize: 256, learningRate: { peak: 2e-3, schedule: "cosine" } as const, source, seed };
    for await (const { step, loss } of trainFlowMatching(flow, data, {
      ...options,
      coupling: couplings[kind],
      logEvery: steps,
    }))
      console.error(`${name}, ${kind} pairs: step ${step}, loss ${loss.toFixed(3)}`);
    const seconds = (performance.now() - began) / 1000;
    const { x } = await flow.push(starts, { solver: { method: "midpoint", steps: 100 } });
    rows.push([
      name,
      kind === "exact" ? "exact, groups of 256" : kind,
      `${(await wasserstein2(x, ends, 2)).toFixed(2)} (${(await wasserstein2(fresh, ends, 2)).toFixed(2)})`,
      (await normalizedPathEnergy(flow, starts, ends)).toFixed(3),
      published[kind].toFixed(3),
      seconds.toFixed(0),
    ]);
    flow.dispose();
  }
}
gpu.dispose();
const table = rows.map((texts) => `| ${texts.join(" | ")} |`).join("\n");
console.log(`${table}\n\n${adapter}, seed ${seed}, ${steps} steps of 256`);
if (values.report !== undefined) await writeWhole(values.report, `${table}\n`);
