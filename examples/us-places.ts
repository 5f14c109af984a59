/**
 * The main job: learn where the postal codes of the contiguous United States are, from the places themselves.
 * Trains a flow by flow matching, draws particles through it, and compares its held-out log-likelihood with three baselines.
 *
 *   npm start                                 about three minutes on two CPU cores, less on a GPU
 *   npm start -- --samples 10000000           more particles
 *   npm start -- --quick                      a few seconds, to see that everything works
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fitNormalization, openGpu } from "pushforward";
import { writeWhole } from "../cli/files.ts";
import { countPoints, type Grid, toDensity } from "../cli/plot/grid.ts";
import { count, duration } from "../cli/report.ts";
import { chooseByValidation, fitGaussian, fitMixture, kernelDensity, scoreOf } from "./baselines.ts";
import { loadPlaces, type Places } from "./places-data.ts";
import { drawPlaces, mapGrid } from "./places-figures.ts";
import { densityMap, drawSamples, evaluate, trainFlow } from "./places-flow.ts";
import { readSettings } from "./places-settings.ts";
import { sineFlow } from "./sine-flow.ts";
import { strayShare } from "./stray.ts";
import { loadOutline } from "./us-outline.ts";

/** Half a degree is 40 to 55 km: farther from all known places than that, a sample has strayed. */
const strayDistance = 0.5;

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
const flow = await sineFlow(gpu, train, settings.seed, 5);
const training = await trainFlow(flow, train, settings);
say(
  `trained ${count(flow.parameterCount)} parameters for ${count(settings.steps)} steps in ${duration(training.seconds)}: loss ${training.loss.toFixed(4)}`,
);
await mkdir(settings.out, { recursive: true });
const modelFile = join(settings.out, "flow.safetensors");
await writeWhole(modelFile, await flow.save());

const { coarse, fine, first, ...sampling } = await drawSamples(flow, settings);
say(
  `pushed ${count(settings.samples)} particles through it in ${duration(sampling.seconds)}:` +
    ` ${count(sampling.particlesPerSecond)} particles/s (midpoint, ${settings.solverSteps} steps)`,
);
const known = concatenate([train, validation]);
const strays = {
  distance: strayDistance,
  samples: strayShare(first, known, strayDistance),
  heldOut: strayShare(test, known, strayDistance),
};
say(
  `${percent(strays.samples)} of them lie over ${strayDistance}° from every place it saw; of the held-out places ${percent(strays.heldOut)} do`,
);

const likelihood = await evaluate(flow, test, settings.solverSteps);
const model = await densityMap(flow, settings);
const parameters = flow.parameterCount;
flow.dispose();
gpu.dispose();

const baselines = scoreBaselines(places);
const pictures = await drawPlaces(settings.out, {
  data: histogram(concatenate([train, validation, test])),
  samples: toDensity(coarse, settings.samples),
  fineSamples: toDensity(fine, settings.samples),
  model,
  outline: await loadOutline(),
  places: counts.distinct,
  particles: settings.samples,
  parameters,
});
await report();

function scoreBaselines({ train: data, validation: chosenOn, test: held }: Places) {
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
  const scores = [
    { name: "one Gaussian", ...scoreOf(fitGaussian(data, 2)(held)), numbers: 5 },
    {
      name: `mixture of ${mixture.candidate} Gaussians`,
      ...scoreOf(mixture.density(held)),
      numbers: 6 * mixture.candidate - 1,
    },
    { name: `kernel density, bandwidth ${kernel.candidate}`, ...scoreOf(kernel.density(held)), numbers: data.length },
  ];
  say(`fitted the baselines in ${duration(secondsSince(start))}`);
  return scores;
}

async function report(): Promise<void> {
  const { mean, standardError, changeWithTwiceTheSteps: change } = likelihood;
  const line = (name: string, value: string, numbers: string) =>
    say(`  ${name.padEnd(32)} ${value.padEnd(18)} ${numbers.padStart(12)}`);
  say("", "held-out log-likelihood in nats per place (density per square degree)");
  line("", "", "numbers kept");
  for (const score of [{ name: "flow", mean, standardError, numbers: parameters }, ...baselines]) {
    line(score.name, `${score.mean.toFixed(4)} ± ${score.standardError.toFixed(4)}`, count(score.numbers));
  }
  const { solverSteps } = settings;
  say(
    `  with ${2 * solverSteps} instead of ${solverSteps} solver steps the flow's changes by ${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(4)}`,
  );

  const content = {
    adapter: info,
    settings,
    data: { ...counts, train: train.length / 2, validation: validation.length / 2, test: test.length / 2 },
    training: { parameters, ...training },
    sampling: { samples: settings.samples, ...sampling, strays },
    heldOutLogLikelihood: { unit: "nats per place, density per square degree", flow: likelihood, baselines },
    seconds: secondsSince(begun),
  };
  const path = join(settings.out, "report.json");
  await writeWhole(path, `${JSON.stringify(content, null, 2)}\n`);
  say("", `wrote ${[...pictures, modelFile, path].join(", ")}`, `all in ${duration(secondsSince(begun))}`);
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

function say(...lines: string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}
