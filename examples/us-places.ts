/**
 * The main job: learn where the postal codes of the contiguous United States are, from the places themselves.
 * Trains a flow by the likelihood of its steps, from a mixture of Gaussians, draws particles through it, and compares its held-out
 * log-likelihood with that mixture's and with three baselines.
 *
 *   npm start                                 what can be trained in three minutes, less on a GPU
 *   npm start -- --full                       the whole recipe, however long it takes
 *   npm start -- --samples 10000000           more particles
 *   npm start -- --quick                      a few seconds of training, to see that everything works
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeSafetensors, Flow, fitNormalization, openGpu } from "pushforward";
import { writeWhole } from "../cli/files.ts";
import { countPoints, type Grid, toDensity } from "../cli/plot/grid.ts";
import { count, duration } from "../cli/report.ts";
import { must } from "../src/must.ts";
import {
  chooseByValidation,
  fitGaussian,
  fitMixture,
  kernelDensity,
  mixtureDensity,
  type Score,
  scoreOf,
} from "./baselines.ts";
import { loadPlaces, type Places } from "./places-data.ts";
import { drawPlaces, mapGrid } from "./places-figures.ts";
import { densityMap, drawSamples, evaluate } from "./places-flow.ts";
import { measureTraining, numbersOf, placesFlow, placesSource, secondsOfRecipe, trainPlaces } from "./places-recipe.ts";
import { readSettings } from "./places-settings.ts";
import { strayShare } from "./stray.ts";
import { loadBoundary, loadOutline, pointsOutside } from "./us-outline.ts";

/** A fifth of a degree is 16 to 22 km: farther from all known places than that and outside the outline, a sample is lost at sea. */
const strayDistance = 0.2;

/** What `npm start -- --full` made; docs/places.md says when and on what. */
const shippedFile = fileURLToPath(new URL("../../examples/us-places.safetensors", import.meta.url));

const settings = readSettings();
const begun = performance.now();
const secondsSince = (start: number) => (performance.now() - start) / 1000;

const places = await loadPlaces(settings.seed);
const { counts, train, validation, test } = places;
say(
  `${count(counts.file)} postal codes, ${count(counts.inside)} of them in the contiguous US, at ${count(counts.distinct)} distinct places:`,
  `${count(train.length / 2)} to train on, ${count(validation.length / 2)} for validation, ${count(test.length / 2)} held out`,
);

const gpu = await openGpu();
const { info } = gpu;
say(
  `adapter: ${info.description || info.architecture || info.vendor}${info.software ? " (software: runs on the CPU)" : ""}`,
);
const baselines = fitBaselines(places);
const from = await fitSource();
const flow = placesFlow(gpu, from, settings.seed);
const share = await shareToTrain();
const training = await trainPlaces(flow, train, share, settings.seed);
const { steps: trainingSteps, seconds: trainingSeconds, loss, flops } = training;
say(
  `trained ${count(flow.parameterCount)} parameters for ${count(trainingSteps)} steps by likelihood in ${duration(trainingSeconds)} (${gigaflops(flops / trainingSeconds)}): loss ${loss.toFixed(4)}`,
);
await mkdir(settings.out, { recursive: true });
const modelFile = join(settings.out, "flow.safetensors");
await writeWhole(modelFile, await flow.save());

const { coarse, fine, first, ...sampling } = await drawSamples(flow, settings);
say(
  `pushed ${count(settings.samples)} particles through it in ${duration(sampling.seconds)}:` +
    ` ${count(sampling.particlesPerSecond)} particles/s (midpoint, ${settings.sampleSteps} steps)`,
);
const known = concatenate([train, validation]);
const boundary = await loadBoundary();
const lost = (points: Float32Array) => {
  const outside = pointsOutside(points, boundary);
  return (strayShare(outside, known, strayDistance) * outside.length) / points.length;
};
const strays = { distance: strayDistance, samples: lost(first), heldOut: lost(test) };
say(
  `${percent(strays.samples)} of them lie over water or abroad and ${strayDistance}° from every place it saw; of the held-out places ${percent(strays.heldOut)} do`,
);

const likelihood = await evaluate(flow, test, settings.solverSteps);
const model = await densityMap(flow, settings);
const numbers = numbersOf(flow, from.source.means.length);
// it was trained on the places of seed 0's split, so other seeds hold out what it has seen
const shipped = share < 1 && settings.seed === 0 ? await evaluateShipped() : undefined;
flow.dispose();
gpu.dispose();

const pictures = await drawPlaces(settings.out, {
  data: histogram(concatenate([train, validation, test])),
  samples: toDensity(coarse, settings.samples),
  fineSamples: toDensity(fine, settings.samples),
  model,
  shipped: shipped?.density,
  outline: await loadOutline(),
  places: counts.distinct,
  particles: settings.samples,
  parameters: numbers,
});
await report();

async function fitSource() {
  const start = performance.now();
  const fitted = await placesSource(train, settings.seed);
  say(
    `fitted the flow's source, a mixture of ${fitted.source.means.length} Gaussians, in ${duration(secondsSince(start))}`,
  );
  return fitted;
}

/** How much of the recipe is trained: all of it, unless this adapter is too slow for that. */
async function shareToTrain(): Promise<number> {
  if (settings.share !== "what fits") return settings.share;
  const rate = await measureTraining(gpu, train, from);
  const whole = secondsOfRecipe(flow, train.length / 2, rate);
  const operations = 2 * flow.parameterCount;
  const work =
    operations *
    (2 * settings.samples * settings.sampleSteps +
      3 * 2 * settings.solverSteps * (mapGrid(settings.columns).values.length + (3 * test.length) / 2));
  // what comes after it runs twice as fast, about
  const left = settings.seconds - secondsSince(begun) - work / (2 * rate) - 10;
  const fits = Math.min(1, Math.max(0.02, left / whole));
  say(
    `it trains at ${gigaflops(rate)}` +
      (fits < 1
        ? `: ${percent(fits)} of the recipe fit into ${duration(settings.seconds)}. All of it takes about ${duration(whole)}: npm start -- --full`
        : ""),
  );
  return fits;
}

/** The flow of the whole recipe, which comes with the sources: its likelihood and its density, computed here. */
async function evaluateShipped() {
  const bytes = await readFile(shippedFile);
  const whole = Flow.load(gpu, bytes);
  const gaussians = must(decodeSafetensors(bytes).tensors["source.weights"], "the shares of the source").data.length;
  const result = {
    ...(await evaluate(whole, test, settings.solverSteps)),
    density: await densityMap(whole, settings),
    numbers: numbersOf(whole, gaussians),
  };
  whole.dispose();
  return result;
}

function fitBaselines({ train: data, validation: chosenOn, test: held }: Places) {
  const start = performance.now();
  const { scale } = fitNormalization(data, 2);
  const { seed } = settings;
  const mixture = chooseByValidation(
    settings.components,
    (components) => fitMixture(data, 2, { components, seed }),
    chosenOn,
  );
  const kernel = chooseByValidation(
    settings.bandwidths,
    (bandwidth) => kernelDensity(data, 2, bandwidth, scale),
    chosenOn,
  );
  const kernelScores = kernel.density(held);
  const scores = [
    { name: "one Gaussian", ...scoreOf(fitGaussian(data, 2)(held)), numbers: 5 },
    {
      name: `mixture of ${mixture.candidate} Gaussians`,
      ...scoreOf(mixture.density(held)),
      numbers: 6 * mixture.candidate - 1,
    },
    { name: `kernel density, bandwidth ${kernel.candidate}`, ...scoreOf(kernelScores), numbers: data.length },
  ];
  say(`fitted the baselines in ${duration(secondsSince(start))}`);
  return { scores, kernelScores };
}

async function report(): Promise<void> {
  const { mean, standardError, changeWithTwiceTheSteps: change } = likelihood;
  const line = (name: string, value: string, numbers: string) =>
    say(`  ${name.padEnd(40)} ${value.padEnd(18)} ${numbers.padStart(12)}`);
  say("", "held-out log-likelihood in nats per place (density per square degree)");
  line("", "", "numbers kept");
  const { source } = from;
  const gaussians = source.means.length;
  const begin = scoreOf(mixtureDensity(source, from.normalization)(test));
  const own = [
    { name: "flow", mean, standardError, numbers },
    { name: `its source, ${gaussians} Gaussians`, ...begin, numbers: 5 * gaussians - 1 },
  ];
  const whole = shipped && { name: "flow of `npm start -- --full` (shipped)", ...shipped };
  for (const score of [...own, ...(whole ? [whole] : []), ...baselines.scores]) {
    line(score.name, `${score.mean.toFixed(4)} ± ${score.standardError.toFixed(4)}`, count(score.numbers));
  }
  const { solverSteps } = settings;
  say(
    `  with ${2 * solverSteps} instead of ${solverSteps} solver steps the flow's changes by ${signed(change)}`,
    `  the flow minus the kernel density, place by place: ${paired(likelihood.logProb)}`,
    ...(shipped ? [`  the shipped flow minus the kernel density: ${paired(shipped.logProb)}`] : []),
  );

  const content = {
    adapter: info,
    settings: { ...settings, share },
    data: { ...counts, train: train.length / 2, validation: validation.length / 2, test: test.length / 2 },
    training: { parameters: numbers, ...training },
    sampling: { samples: settings.samples, ...sampling, strays },
    heldOutLogLikelihood: {
      unit: "nats per place, density per square degree",
      flow: { mean, standardError, steps: solverSteps, changeWithTwiceTheSteps: change },
      source: begin,
      shipped: shipped && { mean: shipped.mean, standardError: shipped.standardError },
      baselines: baselines.scores,
      flowMinusKernelDensity: differences(likelihood.logProb),
    },
    seconds: secondsSince(begun),
  };
  const path = join(settings.out, "report.json");
  await writeWhole(path, `${JSON.stringify(content, null, 2)}\n`);
  say("", `wrote ${[...pictures, modelFile, path].join(", ")}`, `all in ${duration(secondsSince(begun))}`);
}

/** Mean of log p less that of the kernel density at the same places, and its standard error. */
function differences(logProb: Float32Array): Score {
  return scoreOf(Float64Array.from(logProb, (value, i) => value - (baselines.kernelScores[i] ?? Number.NaN)));
}

function paired(logProb: Float32Array): string {
  const { mean, standardError } = differences(logProb);
  return `${signed(mean)} ± ${standardError.toFixed(4)}`;
}

function histogram(points: Float32Array): Grid {
  const grid = mapGrid(settings.columns);
  countPoints(grid, { data: points, dim: 2 });
  return toDensity(grid, points.length / 2);
}

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    all.set(part, position);
    position += part.length;
  }
  return all;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(4)}`;
}

function gigaflops(perSecond: number): string {
  return `${(perSecond / 1e9).toFixed(1)} GFLOP/s`;
}

function say(...lines: string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}
