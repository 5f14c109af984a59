/**
 * The quality of both kinds of training on FFJORD's toy sets: `npm run quality`, or `npm run quality -- --sets moons,rings`. A flow starts
 * from scratch by flow matching, is then trained by the likelihood of a few of the solver's steps, and another one by the flow's likelihood
 * from scratch. Prints one table, writes it with `--report <file.md>`, and draws what each flow has learned into a folder.
 * Ends with status 1 when a set misses its pass line.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type Flow,
  openGpu,
  type ToyName,
  toyData,
  toyNames,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";
import { energyDistance, mmd, slicedWasserstein, wasserstein2 } from "pushforward/diagnostics";
import { writeWhole } from "../cli/files.ts";
import { colourScale } from "../cli/plot/colour-scale.ts";
import { type Panel, renderFigure } from "../cli/plot/figure.ts";
import { countPoints, emptyGrid, type Grid, positiveQuantile, toDensity } from "../cli/plot/grid.ts";
import { toyDensities } from "../test/oracle/densities.ts";
import { fitGaussian, scoreOf } from "./baselines.ts";
import { placeFor } from "./outputs.ts";
import { matchingOptions, sineFlow, waveFlow } from "./sine-flow.ts";
import { targets } from "./toy-sets.ts";

const { values } = parseArgs({
  options: {
    sets: { type: "string", default: toyNames.join(",") },
    seed: { type: "string", default: "1" },
    points: { type: "string", default: "10000" },
    "flow-matching-steps": { type: "string", default: "3000" },
    "tuning-steps": { type: "string", default: "80" },
    "likelihood-steps": { type: "string", default: "400" },
    output: { type: "string", default: "out/quality" },
    report: { type: "string" },
  },
});
placeFor(join(values.output, "all.png"));
placeFor(values.report);
const seed = Number(values.seed);
const count = Number(values.points);
const steps = {
  "flow matching": Number(values["flow-matching-steps"]),
  "then likelihood": Number(values["tuning-steps"]),
  likelihood: Number(values["likelihood-steps"]),
};
type Loss = keyof typeof steps;

/** Solver steps of the reported likelihood; twice as many tell its discretisation error. */
const solverSteps = 40;
const solver = (n: number) => ({ method: "midpoint", steps: n }) as const;
const extent = 4.4;
const cells = 110;

/** A learning rate that rises at first and falls to almost nothing along a cosine. */
const schedule = (peak: number, rise: number, total: number) => (step: number) =>
  peak * Math.min(1, (step + 1) / rise) * (0.02 + 0.98 * Math.cos((Math.PI / 2) * (step / total)) ** 2);

async function train(flow: Flow, data: Float32Array, loss: Loss): Promise<void> {
  const total = steps[loss];
  const training = {
    "flow matching": () => trainFlowMatching(flow, data, matchingOptions(total, 512, seed)),
    "then likelihood": () =>
      trainMaximumLikelihood(flow, data, {
        steps: total,
        batchSize: 512,
        objective: "discrete",
        solver: solver(5),
        jitter: 0.4,
        rowOrder: "shuffled",
        optimizer: { name: "muon", momentum: 0.9, matrixRate: 12 },
        learningRate: { peak: 3e-4, schedule: "cosine", warmup: 0.05 },
        gradientClip: 1,
        ema: 0.985,
        seed,
        logEvery: total,
      }),
    likelihood: () =>
      trainMaximumLikelihood(flow, data, {
        steps: total,
        batchSize: 128,
        learningRate: schedule(8e-3, 50, total),
        solver: solver(5),
        gradientClip: 5,
        ema: 0.97,
        seed,
        logEvery: total,
      }),
  };
  for await (const _ of training[loss]()) {
    // only the end counts here
  }
}

interface Row {
  readonly name: ToyName;
  readonly loss: Loss;
  readonly nll: number;
  readonly excess: number;
  readonly error: number;
  readonly halving: number;
  readonly reverse: number;
  readonly wasserstein: number;
  readonly floor: number;
  readonly sliced: number;
  readonly energy: number;
  readonly discrepancy: number;
  readonly gaussian: number;
  readonly seconds: number;
  readonly passes: boolean;
}

async function judge(flow: Flow, name: ToyName, loss: Loss, seconds: number): Promise<Row> {
  const { entropy, passLine } = targets[name];
  // other seeds: points that were never trained on
  const points = toyData(name, count, seed + 1000);
  const { logProb } = await flow.logProb(points, { solver: solver(solverSteps) });
  const { mean, standardError } = scoreOf(logProb);
  const few = Math.min(count, 2000);
  const finer = await flow.logProb(points.subarray(0, 2 * few), { solver: solver(2 * solverSteps) });
  const halving = scoreOf(logProb.subarray(0, few)).mean - scoreOf(finer.logProb).mean;
  // KL(model ‖ data) by the model's own samples; infinite as soon as one lies where the data never does
  const samples = await flow.sample(4000, { solver: solver(solverSteps), seed: seed + 7, logProb: true });
  const { logDensity } = toyDensities[name];
  const reverse = scoreOf(
    Float64Array.from(samples.logProb ?? [], (l, i) => l - logDensity(samples.x.subarray(2 * i, 2 * i + 2))),
  ).mean;
  const n = Math.min(1024, count);
  const mine = samples.x.subarray(0, 2 * n);
  const theirs = points.subarray(0, 2 * n);
  const fresh = toyData(name, n, seed + 2000);
  const excess = -mean - entropy;
  return {
    name,
    loss,
    nll: -mean,
    excess,
    error: standardError,
    halving,
    reverse,
    wasserstein: await wasserstein2(mine, theirs, 2),
    floor: await wasserstein2(fresh, theirs, 2),
    sliced: slicedWasserstein(mine, theirs, 2),
    energy: energyDistance(mine, theirs, 2),
    discrepancy: mmd(mine, theirs, 2),
    gaussian: -scoreOf(fitGaussian(toyData(name, 20_000, seed), 2)(points)).mean,
    seconds,
    // below the entropy is no better: it is a likelihood that is not one
    passes: excess <= passLine && excess >= -4 * standardError,
  };
}

async function densityOf(flow: Flow): Promise<Grid> {
  const box: [number, number][] = [
    [-extent, extent],
    [-extent, extent],
  ];
  const { density } = await flow.densityGrid({ box, cells: [cells, cells], solver: solver(20) });
  const grid = emptyGrid(cells, cells, [-extent, extent], [-extent, extent]);
  // the library's last axis is y and runs fastest, a picture's rows are y
  for (let x = 0; x < cells; x++)
    for (let y = 0; y < cells; y++) grid.values[y * cells + x] = density[x * cells + y] ?? 0;
  return grid;
}

/** Draws data and densities of a set side by side; returns the picture's path. */
async function draw(name: ToyName, densities: ReadonlyMap<Loss, Grid>): Promise<string> {
  const range = [-extent, extent] as const;
  const grid = emptyGrid(cells, cells, range, range);
  const data = { data: toyData(name, 100_000, seed), dim: 2 };
  countPoints(grid, data);
  const counted = toDensity(grid, 100_000);
  const panels: Panel[] = [
    { title: `${name}: 100,000 points`, grid: counted },
    ...Array.from(densities, ([loss, own]) => ({ title: `density, ${loss}`, grid: own, smooth: true })),
  ];
  const top = Math.max(...[counted, ...densities.values()].map(({ values: all }) => positiveQuantile(all, 0.999)));
  const bytes = await renderFigure({
    panels,
    x: { label: "x", range },
    y: { label: "y", range },
    colour: { scale: colourScale("sqrt", 0, top), label: "density" },
    panelWidth: 240,
    pixelRatio: 1.2,
  });
  const path = join(values.output, `${name}.png`);
  await writeWhole(path, bytes);
  return path;
}

/** All pictures on one sheet, two in a row. */
async function contactSheet(paths: readonly string[]): Promise<string> {
  const { createCanvas, loadImage } = await import("@napi-rs/canvas");
  const pictures = await Promise.all(paths.map((path) => loadImage(path)));
  const { width = 1, height = 1 } = pictures[0] ?? {};
  const scale = 0.62;
  const sheet = createCanvas(
    Math.round(2 * scale * width),
    Math.round(Math.ceil(pictures.length / 2) * scale * height),
  );
  const context = sheet.getContext("2d");
  for (const [i, picture] of pictures.entries())
    context.drawImage(
      picture,
      (i % 2) * scale * width,
      Math.floor(i / 2) * scale * height,
      scale * width,
      scale * height,
    );
  const path = join(values.output, "all.png");
  await writeWhole(path, await sheet.encode("png"));
  return path;
}

const head = [
  "set",
  "loss",
  "NLL − entropy",
  "pass line",
  "40→80 steps",
  "KL(model‖data)",
  "W₂ (floor)",
  "sliced W₂",
  "energy",
  "MMD²",
  "Gaussian",
  "train s",
];

function line(row: Row): string[] {
  const { passLine } = targets[row.name];
  return [
    row.name,
    row.loss,
    `${row.excess.toFixed(3)} ± ${row.error.toFixed(3)}${row.passes ? "" : " MISSED"}`,
    passLine.toFixed(2),
    row.halving.toFixed(4),
    Number.isFinite(row.reverse) ? row.reverse.toFixed(3) : "∞",
    `${row.wasserstein.toFixed(2)} (${row.floor.toFixed(2)})`,
    row.sliced.toFixed(3),
    row.energy.toFixed(4),
    row.discrepancy.toFixed(4),
    (row.gaussian - targets[row.name].entropy).toFixed(2),
    row.seconds.toFixed(0),
  ];
}

const gpu = await openGpu();
const began = performance.now();
const adapter = gpu.info.description || gpu.info.architecture;
console.log(`${adapter}, seed ${seed}: ${count} fresh points, ${solverSteps} midpoint steps, exact divergence\n`);
const rows: Row[] = [];
const pictures: string[] = [];
const widths = [12, 16, 22, 9, 11, 14, 11, 9, 8, 8, 8, 7];
const show = (texts: readonly string[]) => console.log(texts.map((text, i) => text.padEnd(widths[i] ?? 0)).join(" "));
show(head);
for (const name of values.sets.split(",") as ToyName[]) {
  const data = toyData(name, 200_000, seed);
  const densities = new Map<Loss, Grid>();
  const matched = waveFlow(gpu, data, seed);
  for (const loss of ["flow matching", "then likelihood", "likelihood"] as const) {
    const flow = loss === "likelihood" ? await sineFlow(gpu, data, seed, 3) : matched;
    const start = performance.now();
    await train(flow, data, loss);
    const row = await judge(flow, name, loss, (performance.now() - start) / 1000);
    rows.push(row);
    show(line(row));
    densities.set(loss, await densityOf(flow));
    if (flow !== matched) flow.dispose();
  }
  matched.dispose();
  pictures.push(await draw(name, densities));
}
const sheet = await contactSheet(pictures);
const passed = rows.filter(({ passes }) => passes).length;
const minutes = ((performance.now() - began) / 60_000).toFixed(1);
const end = `${passed} of ${rows.length} within their pass line, ${minutes} minutes on ${adapter}, seed ${seed}`;
console.log(`\n${end}\npictures in ${values.output}, all on ${sheet}`);
if (values.report !== undefined) {
  const table = [head, head.map(() => "---"), ...rows.map(line)].map((texts) => `| ${texts.join(" | ")} |`);
  await writeWhole(values.report, `${table.join("\n")}\n\n${end}.\n`);
}
gpu.dispose();
process.exitCode = passed === rows.length ? 0 : 1;
