/**
 * A density of real data in five dimensions, with its error bars and a check of its calibration: `npm run science`.
 * The weather of two days in a row in Seattle and New York, learned by flow matching and then by maximum likelihood, beside Gaussians
 * and Gaussian mixtures; everything is chosen on the validation days, and the test days are used once.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  Flow,
  fitNormalization,
  mlp,
  openGpu,
  type TrainingStep,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";
import { coverage, pit, uniformity } from "pushforward/diagnostics";
import { writeWhole } from "../cli/files.ts";
import { colourScale } from "../cli/plot/colour-scale.ts";
import { type Panel, renderFigure } from "../cli/plot/figure.ts";
import { countPoints, emptyGrid, positiveQuantile, toDensity } from "../cli/plot/grid.ts";
import { chiSquareTail } from "../src/diagnostics/distributions.ts";
import { must } from "../src/must.ts";
import { chooseByValidation, fitGaussian, fitMixture, type LogDensity, scoreOf } from "./baselines.ts";
import { calibrationPanel } from "./calibration-curves.ts";
import { placeFor } from "./outputs.ts";
import { dim, loadWeather, ofCity, variables, type Weather } from "./weather-data.ts";

const { values } = parseArgs({
  options: { seed: { type: "string", default: "1" }, output: { type: "string", default: "out/weather" } },
});
const [densityFile, calibrationFile] = ["weather.png", "weather-calibration.png"].map((name) =>
  placeFor(join(values.output, name)),
) as [string, string];
const seed = Number(values.seed);
const data = await loadWeather(seed);
const { train, validation, test, cities } = data;
console.log(
  `Weather of two days in a row, ${cities.join(" and ")}: ${train.labels.length} rows to train on, ${validation.labels.length} to choose by, ${test.labels.length} to test\n`,
);

/** Log-densities of rows under one density per city, in the rows' order. */
const perCity = (densities: readonly LogDensity[], { x, labels }: Weather) =>
  Float64Array.from(labels, (city, i) => densities[city]?.(x.subarray(i * dim, (i + 1) * dim))[0] ?? Number.NaN);

const gaussians = cities.map((_, city) => fitGaussian(ofCity(train, city), dim));
const mixtures = cities.map((_, city) =>
  chooseByValidation(
    [1, 2, 3, 4, 5, 6, 8, 10, 12, 16],
    (components) => fitMixture(ofCity(train, city), dim, { components, seed, rounds: 80 }),
    ofCity(validation, city),
  ),
);

const gpu = await openGpu();
const velocity = mlp({ dim, hidden: [48, 48], activation: "tanh", classes: cities.length });
const flow = Flow.create(gpu, { velocity, seed, normalization: fitNormalization(train.x, dim) });
const solver = { method: "midpoint", steps: 40 } as const;
const held = { data: validation.x, labels: validation.labels };
let best = { logProb: Number.NEGATIVE_INFINITY, weights: await flow.weights(), at: "the start" };

/** Trains and keeps the weights that are best for the validation days: there are few rows, so that later is not always better. */
async function follow(what: string, training: AsyncIterable<TrainingStep>): Promise<void> {
  for await (const { step } of training) {
    const { mean } = await flow.meanLogProb(held.data, {
      labels: held.labels,
      solver: { method: "midpoint", steps: 12 },
    });
    if (mean > best.logProb) best = { logProb: mean, weights: await flow.weights(), at: `step ${step} of ${what}` };
  }
  flow.setWeights(best.weights);
}

const began = performance.now();
const common = { labels: train.labels, optimizer: { name: "adamw", weightDecay: 0.05 }, seed } as const;
await follow(
  "flow matching",
  trainFlowMatching(flow, train.x, {
    ...common,
    steps: 2400,
    batchSize: 512,
    learningRate: (step) => 4e-3 * Math.cos((Math.PI / 2) * (step / 2400)) ** 2 + 1e-5,
    coupling: "optimal-transport",
    logEvery: 300,
  }),
);
const matched = best.logProb;
await follow(
  "maximum likelihood",
  trainMaximumLikelihood(flow, train.x, {
    ...common,
    steps: 60,
    batchSize: 256,
    learningRate: (step) => 1e-3 * Math.cos((Math.PI / 2) * (step / 60)) ** 2 + 1e-6,
    solver: { method: "midpoint", steps: 8 },
    gradientClip: 5,
    logEvery: 10,
  }),
);
const seconds = (performance.now() - began) / 1000;

const { logProb, coordinates, radius = new Float64Array(0) } = await pit(flow, test.x, { labels: test.labels, solver });
const finer = await flow.logProb(test.x, { labels: test.labels, solver: { ...solver, steps: 80 } });
const probed = await flow.logProb(test.x, {
  labels: test.labels,
  solver,
  divergence: { probe: "rademacher", probes: 8 },
  seed,
});
const show = (name: string, scores: Float64Array | Float32Array, remark = "") => {
  const { mean, standardError } = scoreOf(scores);
  console.log(`${name.padEnd(34)} ${mean.toFixed(3).padStart(8)} ± ${standardError.toFixed(3)}${remark}`);
};
console.log("log-likelihood of the test days, nats per row");
show("Gaussian", perCity(gaussians, test));
const components = mixtures.map(({ candidate }) => candidate).join(" and ");
const mixed = perCity(
  mixtures.map(({ density }) => density),
  test,
);
show(`Gaussian mixture (${components} components)`, mixed);
show(
  "flow, exact divergence",
  logProb,
  `, 40→80 steps ${(scoreOf(finer.logProb).mean - scoreOf(logProb).mean).toFixed(4)}`,
);
const errors = probed.standardError ?? new Float32Array(0);
const typical = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length);
show("flow, 8 probes", probed.logProb, `, each row ± ${typical.toFixed(3)} by its probes`);
const gain = logProb.map((value, i) => value - (mixed[i] ?? Number.NaN));
show("flow − mixture, row by row", gain);
console.log(
  `best by the validation days: ${best.at} (${best.logProb.toFixed(3)} there, ${matched.toFixed(3)} after flow matching); ${seconds.toFixed(0)} s on ${gpu.info.description || gpu.info.architecture}\n`,
);

const n = radius.length;
console.log("share of test days within the model's central region, which holds that much of the model");
for (const { level, share, standardError } of coverage(radius))
  console.log(`  ${100 * level} %: ${(100 * share).toFixed(1)} % ± ${(100 * standardError).toFixed(1)}`);
console.log("histogram of the radius' probability-integral transform, tenths");
const bins = new Array<number>(10).fill(0);
for (const u of radius) bins[Math.min(9, Math.floor(10 * u))] = (bins[Math.min(9, Math.floor(10 * u))] ?? 0) + 1;
console.log(`  ${bins.map((hits) => (hits / n).toFixed(3)).join(" ")}`);
const distance = (values: Float64Array) => uniformity(values).ks.statistic.toFixed(3);
const axis = (k: number) => coordinates.filter((_, at) => at % dim === k);
const distances = variables.map((_, k) => distance(axis(k)));
console.log(
  `distance to uniform (Kolmogorov–Smirnov; below ${(1.36 / Math.sqrt(n)).toFixed(3)} in 95 of 100 right models): radius ${distance(radius)}, source coordinates ${distances.join(", ")}`,
);

// pictures: temperatures of two pairs of variables, of which all are in °C; and calibration beside that of the Gaussians
const celsius = [-20, 44] as const;
const drawn = 200_000;
const side = 108;
const pairs = [
  { of: "next day's highest", axes: [0, 3] },
  { of: "lowest", axes: [0, 1] },
] as const;
const panels: Panel[] = [];
for (const [city, name] of cities.entries()) {
  const { x } = await flow.sample(drawn, { labels: new Uint32Array(drawn).fill(city), solver, seed: seed + 1 });
  const days = ofCity(test, city);
  for (const { of, axes } of pairs) {
    const grid = emptyGrid(side, side, celsius, celsius);
    countPoints(grid, { data: x, dim, axes });
    const points = { data: days, dim, axes };
    panels.push({ title: `${name}: ${of}`, grid: toDensity(grid, drawn), smooth: true, points });
  }
}
// half of the scale, so that dots are seen on the darkest cells, too
const top = 2 * Math.max(...panels.map(({ grid }) => positiveQuantile(grid?.values ?? new Float64Array(0), 0.995)));
await writeWhole(
  densityFile,
  await renderFigure({
    title: `What the flow expects, and the ${n} days that it was never shown`,
    panels,
    x: { label: "highest temperature, °C", range: celsius },
    y: { label: "°C", range: celsius },
    colour: { scale: colourScale("sqrt", 0, top), label: "density" },
    panelWidth: 230,
    pixelRatio: 1.5,
  }),
);

/** log p of each city's Gaussian at its mean. */
const peaks = gaussians.map((density, city) => {
  const own = ofCity(train, city);
  const mean = variables.map((_, k) => scoreOf(own.filter((_, at) => at % dim === k)).mean);
  return must(density(Float32Array.from(mean))[0], "log p");
});
/** P(χ²_dim < d²) of the Mahalanobis distance d of each day to the Gaussian of its city: log p = log p(mean) − ½ d². */
const ofGaussians = perCity(gaussians, test).map((logDensity, i) => {
  const peak = must(peaks[must(test.labels[i], "a label")], "the Gaussian of a city");
  return 1 - chiSquareTail(2 * (peak - logDensity), dim);
});
await writeWhole(
  calibrationFile,
  await renderFigure({
    title: "On the diagonal where a model is right: the days that it was never shown",
    panels: [
      calibrationPanel("Gaussians: radius", n, [ofGaussians]),
      calibrationPanel("the flow: radius", n, [radius]),
      calibrationPanel(
        "the flow: each coordinate",
        n,
        variables.map((_, k) => axis(k)),
      ),
    ],
    x: { label: "probability", range: [0, 1] },
    y: { label: "share of the days", range: [0, 1] },
    panelWidth: 230,
    pixelRatio: 1.5,
  }),
);
console.log(`\npictures: ${densityFile}, ${calibrationFile}`);
flow.dispose();
gpu.dispose();
