/**
 * Posterior estimation from simulations alone, as users of sbi do it: `npm run posterior`. Two tasks of sbibm, whose posteriors are known:
 * simulate, train a conditional flow, draw from the posterior of an observation, and judge the draws by simulation-based calibration,
 * TARP, expected coverage and a classifier against the known posterior. Prints a table, writes it with `--report <file.md>`, and draws
 * posteriors and calibration into a folder.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openGpu } from "pushforward";
import { writeWhole } from "../cli/files.ts";
import { type Panel, renderFigure } from "../cli/plot/figure.ts";
import { calibrationPanel } from "./calibration-curves.ts";
import { placeFor } from "./outputs.ts";
import { type Budget, judgePosterior, learnPosterior, type Verdict } from "./posterior-flow.ts";
import { gaussianLinear, type Task, twoMoons } from "./posterior-tasks.ts";

const { values } = parseArgs({
  options: {
    simulations: { type: "string", default: "20000" },
    steps: { type: "string", default: "2500" },
    tests: { type: "string", default: "200" },
    observations: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
    tasks: { type: "string", default: "two moons,gaussian linear" },
    output: { type: "string", default: "out/posterior" },
    report: { type: "string" },
  },
});
const budget: Budget = {
  simulations: Number(values.simulations),
  steps: Number(values.steps),
  hidden: [64, 64, 64],
  seed: Number(values.seed),
  tests: Number(values.tests),
  draws: 100,
  observations: Number(values.observations),
  compared: 1000,
};

const picture = (name: string) => placeFor(join(values.output, name));
const [samplesFile, calibrationFile] = [picture("posterior.png"), picture("posterior-calibration.png")];
placeFor(values.report);

const head = [
  "task",
  "train s",
  "judge s",
  "C2ST, network",
  "C2ST, neighbours",
  "SBC p, χ²",
  "TARP p",
  "TARP bias",
  "coverage p",
  "coverage bias",
];

function line(task: Task, verdict: Verdict, seconds: readonly number[]): string[] {
  const { tarp, coverage } = verdict;
  return [
    `${task.name}, ${task.dim} → ${task.context}`,
    ...seconds.map((time) => time.toFixed(0)),
    ...[verdict.c2st, verdict.neighbours].map((all) => all.map(({ accuracy }) => accuracy.toFixed(2)).join(", ")),
    `least of ${task.dim}: ${Math.min(...verdict.ranks.map(({ chiSquare }) => chiSquare.pValue)).toFixed(3)}`,
    ...[tarp, coverage].flatMap(({ ks, bias }) => [ks.pValue.toFixed(3), bias.toFixed(3)]),
  ];
}

function calibrationPanels(task: Task, { ranks, tarp, coverage }: Verdict): Panel[] {
  const panel = (title: string, all: readonly { values: Float64Array }[]): Panel =>
    calibrationPanel(
      `${task.name}: ${title}`,
      budget.tests,
      all.map(({ values: own }) => own),
    );
  return [panel("SBC", ranks), panel("TARP", [tarp]), panel("coverage", [coverage])];
}

const samplePanels = (task: Task, { known, drawn }: Verdict): Panel[] => [
  { title: `${task.name}: known posterior`, points: { data: known, dim: task.dim } },
  { title: `${task.name}: the flow's`, points: { data: drawn, dim: task.dim } },
];

const gpu = await openGpu();
const adapter = gpu.info.description || gpu.info.architecture;
const began = performance.now();
console.log(`${adapter}: ${budget.simulations} simulations, ${budget.steps} steps of 1024, seed ${budget.seed}`);
const rows: string[][] = [];
const [samples, calibration]: [Panel[], Panel[]] = [[], []];
const chosen = [twoMoons, gaussianLinear(10)].filter(({ name }) => values.tasks.split(",").includes(name));
if (chosen.length === 0) throw new Error(`--tasks is "${values.tasks}", but there are two moons and gaussian linear`);
for (const task of chosen) {
  const start = performance.now();
  const posterior = await learnPosterior(gpu, task, budget);
  const trained = performance.now();
  const verdict = await judgePosterior(posterior, task, budget);
  posterior.flow.dispose();
  rows.push(line(task, verdict, [(trained - start) / 1000, (performance.now() - trained) / 1000]));
  console.log(head.map((name, i) => `${name}: ${rows.at(-1)?.[i]}`).join(" · "));
  samples.push(...samplePanels(task, verdict));
  calibration.push(...calibrationPanels(task, verdict));
}
gpu.dispose();

const square = [-1.02, 1.02] as const;
await writeWhole(
  samplesFile,
  await renderFigure({
    title: "Posteriors of one observation, first two parameters",
    panels: samples,
    x: { label: "θ₁", range: square },
    y: { label: "θ₂", range: square },
    panelWidth: 230,
    pixelRatio: 1.2,
  }),
);
await writeWhole(
  calibrationFile,
  await renderFigure({
    title: "Calibration over the prior: on the diagonal where posteriors are right",
    panels: calibration,
    x: { label: "probability", range: [0, 1] },
    y: { label: "share of the tests", range: [0, 1] },
    panelWidth: 200,
    pixelRatio: 1.2,
  }),
);
const end = `${((performance.now() - began) / 60_000).toFixed(1)} minutes on ${adapter}, ${budget.simulations} simulations, ${budget.steps} steps of 1024, seed ${budget.seed}`;
console.log(`\n${end}\npictures in ${values.output}`);
if (values.report !== undefined) {
  const table = [head, head.map(() => "---"), ...rows].map((texts) => `| ${texts.join(" | ")} |`);
  await writeWhole(values.report, `${table.join("\n")}\n\n${end}.\n`);
}
