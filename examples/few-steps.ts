/**
 * What flows are worth in few steps: `npm run few-steps`. The flow of places that ships with the library; and on toy sets, a flow by independent pairs and one by optimal-transport pairs, reflow
 * once and twice, students of one, two and four Euler steps, and a flow with shortcuts, each sampled by 1 to 50 Euler steps. Prints W₂ and
 * C2ST against fresh points, and writes the tables with `--report <file.md>`.
 */
import { parseArgs } from "node:util";
import { openGpu, type ToyName } from "pushforward";
import { writeWhole } from "../cli/files.ts";
import { type Budget, evaluations, few, floorOf, type Row } from "./few-steps-flows.ts";
import { fewPlaces } from "./few-steps-places.ts";
import { placeFor } from "./outputs.ts";

const { values } = parseArgs({
  options: {
    sets: { type: "string", default: "us-places,8gaussians,checkerboard" },
    steps: { type: "string", default: "2000" },
    points: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    report: { type: "string" },
  },
});
placeFor(values.report);
const [steps, points, seed] = [values.steps, values.points, values.seed].map(Number) as [number, number, number];
const budget: Budget = { steps, points, seed, batchSize: 512, pairs: 20_000 };

const cell = (score: Row["scores"][number]) =>
  score === undefined ? "" : `${score.wasserstein.toFixed(2)} · ${score.accuracy.toFixed(2)}`;

const gpu = await openGpu();
const began = performance.now();
const tables: string[] = [];
for (const name of values.sets.split(",") as (ToyName | "us-places")[]) {
  const columns = evaluations.map((nfe) => `NFE ${nfe}`);
  const head = name === "us-places" ? [name, ...columns] : [name, "S/D", ...columns, "train s"];
  const rows = [head, head.map(() => "---")];
  const add = (row: string[]) => {
    rows.push(row);
    console.error(row.join(" | "));
  };
  if (name === "us-places")
    for await (const { method, scores } of fewPlaces(gpu))
      add([method, ...scores.map((mean) => mean?.toFixed(3) ?? "")]);
  else {
    for await (const { method, bends, scores, seconds } of few(gpu, name, budget))
      add([method, bends?.toFixed(3) ?? "", ...scores.map(cell), seconds.toFixed(0)]);
    const floor = await floorOf(name, budget);
    rows.push(["fresh points", "", ...evaluations.map(() => cell(floor)), ""]);
  }
  tables.push(rows.map((texts) => `| ${texts.join(" | ")} |`).join("\n"));
}
const { description, architecture } = gpu.info;
gpu.dispose();
const minutes = ((performance.now() - began) / 60_000).toFixed(1);
const end = `${minutes} minutes on ${description || architecture}, ${steps} steps of ${budget.batchSize}, seed ${seed}`;
console.log(`${tables.join("\n\n")}\n\n${end}`);
if (values.report !== undefined) await writeWhole(values.report, `${tables.join("\n\n")}\n\n${end}.\n`);
