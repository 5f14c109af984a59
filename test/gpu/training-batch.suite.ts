import * as pf from "pushforward";
import { planBatch } from "../../shaders/flow-matching.ts";
import { planDrawRows } from "../../shaders/likelihood-training.ts";
import { hasParts, type SourceKind } from "../../shaders/source-kinds.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { normals, philox, randomIndex, streams, uniform01, uniforms } from "../../src/random/philox.ts";
import { shuffledRow } from "../../src/random/shuffle.ts";
import type { FlowMatchingPlan, TrainingPlan } from "../../src/train/plan.ts";
import { drawnRow, makeRowDraws, type RowDraws } from "../../src/train/row-draws.ts";
import { trainingTimes } from "../../src/train/times.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, generator, uniformArray } from "./inputs.ts";
import { entriesAt, stratifiedLevel } from "./time-table.ts";

const key = [123, 456] as const;
const rows = 37;
const capacity = 128;
/** Crosses the word boundary of the counter within the batch. */
const first = 2 ** 32 - 37;
const labelDropout = 0.25;
const contextDropout = 0.4;

const conditional: pf.MlpOptions = { dim: 2, hidden: [4], classes: 3, context: 2, inputOrder: "t,x" };
/** Times of a table with weights, and each sample in a part of its own. */
const times = trainingTimes("batch", {
  path: "cosine",
  options: { time: { beta: [2, 1] }, weighting: (t: number) => 1 + t },
} as unknown as FlowMatchingPlan);
const timed: pf.MlpOptions = { dim: 3, hidden: [4] };
/** Bridges between the ends, of which the velocity or the score is learned. */
const bridged: pf.MlpOptions = { dim: 6, hidden: [4] };
const scored: pf.MlpOptions = { dim: 5, hidden: [4], classes: 3 };
const bridge = 0.7;
const bridgeTimes = (predict: "velocity" | "score") =>
  trainingTimes("batch", { options: { bridge, predict } } as unknown as FlowMatchingPlan).table;
const tables = new Map([
  [timed, times.table],
  [bridged, bridgeTimes("velocity")],
  [scored, bridgeTimes("score")],
]);

/** Pairs on the device, in a ring: the first that may be drawn also crosses the word boundary. */
interface Pairs {
  readonly first: number;
  readonly at: number;
  readonly drawn: number;
}

const room = 192;
const inOrder: Pairs = { first, at: 150, drawn: 0 };
const ofPool: Pairs = { first: 2 ** 32 - 64, at: 64, drawn: 128 };

const shapes: [string, pf.MlpOptions, SourceKind, boolean, (Pairs | undefined)?, "shuffled"?][] = [
  ["a Gaussian source, dim 1", { dim: 1, hidden: [4] }, "gaussian", false],
  ["a Gaussian source, dim 5, Fourier time", { dim: 5, hidden: [4], time: { fourier: 3 } }, "gaussian", false],
  ["a uniform source, dim 3", { dim: 3, hidden: [4], inputOrder: "t,x" }, "uniform", false],
  ["labels and context", conditional, "gaussian", false],
  ["labels and context, rows with shares and noise", conditional, "gaussian", true],
  ["a uniform source, dim 5, rows with shares and noise", { dim: 5, hidden: [4] }, "uniform", true],
  ["another path, time and weights, stratified", timed, "uniform", true],
  ["bridges, of which the velocity is learned", bridged, "gaussian", true],
  ["bridges between samples in pairs, of which the score is learned", scored, "samples", false, inOrder],
  ["a Gaussian source, shuffled rows", { dim: 2, hidden: [4] }, "gaussian", false, undefined, "shuffled"],
  ["pairs in order", { dim: 2, hidden: [4] }, "gaussian", false, inOrder],
  ["pairs of a pool, labels and context, with noise", conditional, "uniform", true, ofPool],
  ["a mixture, dim 5", { dim: 5, hidden: [4] }, "mixture", false],
  ["samples, dim 5, with labels", { dim: 5, hidden: [4], classes: 3 }, "samples", false],
  ["samples in pairs of a pool, labels and context, with noise", conditional, "samples", true, ofPool],
];

/** Shares and noise of the rows. */
function someDraws(): RowDraws {
  const options = { noise: uniformArray(rows, 0, 0.5, 11), rowWeights: uniformArray(rows, 0, 2, 12) };
  const draws = makeRowDraws("batch", {} as pf.Flow, new Float32Array(), { rows, options } as unknown as TrainingPlan);
  if (!draws) throw new Error("there are weights");
  return draws;
}

const words = (i: number, stream: number): Uint32Array => {
  const all = new Uint32Array(4);
  philox((first + i) >>> 0, Math.floor((first + i) / 2 ** 32), 0, stream, key, all);
  return all;
};

const firstWord = (i: number, stream: number): number => words(i, stream)[0] ?? 0;

/** The row of sample i where passes are shuffled. */
const shuffled = (i: number) => shuffledRow((first + i) % rows, Math.floor((first + i) / rows), rows, key);

/** What is added to the row of sample i: [capacity, dim]. */
function noiseOf(draws: RowDraws, dataRow: readonly number[], dim: number): number[] {
  const deviations = new Float32Array(draws.table.buffer);
  const noise = normals(key, streams.rowNoise, first, capacity, dim);
  return Array.from(noise, (z, k) => (deviations[3 * (dataRow[Math.floor(k / dim)] ?? 0) + 2] ?? 0) * z);
}

for (const [name, options, source, isDrawn, pairs, order] of shapes) {
  test(`a batch is drawn as its formula says, from normalised data: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const { dim } = velocity;
    const data = uniformArray(rows * dim, -3, 5, 1);
    const mean = uniformArray(dim, 0.5, 1.5, 2);
    const scale = uniformArray(dim, 1, 3, 3);
    // what f32 has not of a mean
    const rest = uniformArray(dim, -0.1, 0.1, 8);
    const parts = hasParts(source) ? 3 : 1;
    const [a, b] = [uniformArray(parts * dim, -1, 0, 4), uniformArray(parts * dim, 0.5, 2, 5)];
    const levels = [0.2, 0.3, 1].map(Math.fround);
    const next = generator(6);
    const labels = Uint32Array.from({ length: rows }, () => Math.floor(next() * 3));
    const context = uniformArray(rows * 2, -1, 1, 7);

    const pairRows = Uint32Array.from({ length: room }, () => Math.floor(next() * rows));
    const drawn = isDrawn ? someDraws() : undefined;
    const table = tables.get(options);
    const strata = options === timed ? capacity - 3 : undefined;

    const inputs = dim + 1 + velocity.classes + velocity.context;
    const arena = new Arena(gpu.current);
    let got: Float32Array;
    let targets: Float32Array;
    try {
      const all = source === "samples" ? Float32Array.of(...data, ...a) : data;
      await arena.allocate("data", all.byteLength, all);
      const numbers = source === "samples" ? [] : [...a, ...b, ...levels, 0, 0, 0];
      const constants = Float32Array.of(...mean, ...scale, ...rest, ...numbers);
      await arena.allocate("constants", constants.byteLength, constants);
      await arena.allocate("labels", labels.byteLength, labels);
      await arena.allocate("context", context.byteLength, context);
      if (table) await arena.allocate("table", table.byteLength, table);
      if (drawn) await arena.allocate("row draws", drawn.table.byteLength, drawn.table);
      const pairTable = Uint32Array.of(...pairRows, ...(drawn ? drawn.table : []));
      await arena.allocate("pairs", pairTable.byteLength, pairTable);
      await arena.allocate("h0", inputs * capacity * 4);
      await arena.allocate("target", (dim + 1) * capacity * 4);
      const dispatches = [
        planBatch({
          velocity,
          source: { kind: source, parts },
          capacity,
          rows,
          ...(order && { shuffled: true }),
          first,
          key,
          labelDropout,
          contextDropout,
          weighted: table !== undefined,
          strata,
          bridge: options === bridged || options === scored,
          names: {
            data: "data",
            constants: "constants",
            labels: velocity.classes > 0 ? "labels" : undefined,
            context: velocity.context > 0 ? "context" : undefined,
            draws: drawn && "row draws",
            table: table && "table",
          },
          pairs: pairs && { ...pairs, rows: "pairs", room },
        }),
      ];
      await arena.submit(dispatches);
      got = new Float32Array(await readBack(gpu.current, arena.buffer("h0"), inputs * capacity * 4));
      targets = new Float32Array(await readBack(gpu.current, arena.buffer("target"), (dim + 1) * capacity * 4));
    } finally {
      arena.release();
    }

    const chosen = (i: number) => (pairs?.drawn ? randomIndex(firstWord(i, streams.pair), pairs.drawn) : i);
    const from = pairs?.first ?? first;
    const own = (source === "uniform" ? uniforms : normals)(key, streams.batchSource, from, capacity, dim);
    const draws = own.map((_, k) => own[chosen(Math.floor(k / dim)) * dim + (k % dim)] ?? 0);
    const uniform = uniforms(key, streams.batchTime, first, capacity, 1);
    const entries =
      table &&
      entriesAt(table, strata === undefined ? uniform : uniform.map((level, i) => stratifiedLevel(level, i, strata)));
    const moments = entries ? entries.times : uniform;
    // α, σ, α̇, σ̇
    const path = (i: number): [number, number, number, number] => {
      const [alpha = 0, sigma = 0, dAlpha = 0, dSigma = 0] = entries
        ? entries.path.subarray(4 * i, 4 * i + 4)
        : [moments[i] ?? 0, 1 - (moments[i] ?? 0), 1, -1];
      return [alpha, sigma, dAlpha, dSigma];
    };
    const dataRow = Array.from({ length: capacity }, (_, i) =>
      order
        ? shuffled(i)
        : pairs
          ? (pairRows[(pairs.at + chosen(i)) % room] ?? 0)
          : drawnRow(drawn, words(i, streams.batchIndex), rows),
    );
    const noise = drawn ? noiseOf(drawn, dataRow, dim) : new Array<number>(capacity * dim).fill(0);
    // the row or the component that sample i starts from
    const part = (i: number) => {
      const number = from + chosen(i);
      const all = new Uint32Array(4);
      philox(number >>> 0, Math.floor(number / 2 ** 32), 2 ** 32 - 1, streams.batchSource, key, all);
      const [word = 0] = all;
      if (source === "samples") return randomIndex(word, parts);
      return source === "mixture" ? levels.findIndex((level) => uniform01(word) <= level) : 0;
    };
    const start = (i: number, j: number) => {
      const at = part(i) * dim + j;
      const [low, other, z] = [a[at] ?? 0, b[at] ?? 0, draws[i * dim + j] ?? 0];
      if (source === "samples") return low;
      return source === "uniform" ? low + (other - low) * z : low + other * z;
    };
    const end = (i: number, j: number) =>
      ((data[(dataRow[i] ?? 0) * dim + j] ?? 0) - (mean[j] ?? 0) - (rest[j] ?? 0)) / (scale[j] ?? 1) +
      (noise[i * dim + j] ?? 0);
    const wiggle = normals(key, streams.bridge, first, capacity, dim);
    // γ and what z counts in the target: γ̇, or −1/γ in place of all else
    const isScore = options === scored;
    const spread = (i: number) => {
      const t = moments[i] ?? 0;
      if (options !== bridged && !isScore) return [0, 0] as const;
      const gamma = bridge * Math.sqrt(t * (1 - t));
      return [gamma, isScore ? -1 / gamma : (bridge * (1 - 2 * t)) / (2 * Math.sqrt(t * (1 - t)))] as const;
    };
    const noisy = (j: number, i: number, k: 0 | 1) => spread(i)[k] * (wiggle[i * dim + j] ?? 0);
    const feature = (count: number, f: (row: number, i: number) => number) =>
      forRows(count, (row) => forRows(capacity, (i) => f(row, i)));
    // a few roundings of values below 10
    const tolerance = { absolute: 4e-6 };
    expectClose(
      targets.subarray(0, dim * capacity),
      feature(dim, (j, i) => path(i)[2] * end(i, j) + path(i)[3] * start(i, j) + noisy(j, i, 1)),
      // rates of bridges are large near the ends
      tables.has(options) ? { absolute: 4e-6, relative: 2e-6 } : tolerance,
    );
    if (entries) expect(targets.subarray(dim * capacity)).toEqual(entries.weights);
    const block = (from: number, count: number) => got.subarray(from * capacity, (from + count) * capacity);
    expectClose(
      block(0, dim),
      feature(dim, (j, i) => path(i)[0] * end(i, j) + path(i)[1] * start(i, j) + noisy(j, i, 0)),
      tolerance,
    );
    // whatever a network makes of the time is its own
    expect(block(dim, 1)).toEqual(moments);
    const isDropped = (i: number) => uniform01(firstWord(i, streams.labelDropout)) <= labelDropout;
    const oneHot = feature(velocity.classes, (c, i) => (!isDropped(i) && labels[dataRow[i] ?? 0] === c ? 1 : 0));
    expect([...block(inputs - velocity.context - velocity.classes, velocity.classes)]).toEqual(oneHot);
    const keeps = (i: number) => uniform01(firstWord(i, streams.contextDropout)) > contextDropout;
    const given = feature(velocity.context, (c, i) => (keeps(i) ? (context[(dataRow[i] ?? 0) * 2 + c] ?? 0) : 0));
    expect([...block(inputs - velocity.context, velocity.context)]).toEqual(given);
  });
}

for (const order of ["shares", "shuffled rows"])
  test(`a likelihood's batch is drawn as its formula says, with its conditions, noise and ${order}`, async ({
    gpu,
  }) => {
    const dim = 5;
    const context = 2;
    const data = uniformArray(rows * dim, -3, 5, 1);
    const [mean, scale, rest] = [
      uniformArray(dim, 0.5, 1.5, 2),
      uniformArray(dim, 1, 3, 3),
      uniformArray(dim, 0, 0.1, 8),
    ];
    const allLabels = Uint32Array.from({ length: rows }, (_, row) => row % 3);
    const allContext = uniformArray(rows * context, -1, 1, 7);
    const draws = someDraws();
    const count = capacity - 3;
    const arena = new Arena(gpu.current);
    const got: Record<string, Float32Array | Uint32Array> = {};
    try {
      for (const [name, values] of Object.entries({
        data,
        affine: Float32Array.of(...mean, ...scale, ...rest),
        "all labels": allLabels,
        "all context": allContext,
        "row draws": draws.table,
      }))
        await arena.allocate(name, values.byteLength, values);
      await arena.allocate("state", dim * capacity * 4);
      await arena.allocate("labels", count * 4);
      await arena.allocate("context", count * context * 4);
      const conditions = {
        labels: { all: "all labels", drawn: "labels" },
        context: { all: "all context", drawn: "context" },
      };
      const names = { data: "data", affine: "affine", state: "state", ...conditions, draws: "row draws" };
      const dispatches = [
        planDrawRows({
          ...{ capacity, dim, count, rows, first, key, stream: streams.batchIndex, context, names },
          shuffled: order !== "shares",
        }),
      ];
      await arena.submit(dispatches);
      const read = (name: string, bytes: number) => readBack(gpu.current, arena.buffer(name), bytes);
      got.state = new Float32Array(await read("state", dim * capacity * 4));
      got.labels = new Uint32Array(await read("labels", count * 4));
      got.context = new Float32Array(await read("context", count * context * 4));
    } finally {
      arena.release();
    }
    const dataRow = Array.from({ length: capacity }, (_, i) =>
      order === "shares" ? drawnRow(draws, words(i, streams.batchIndex), rows) : shuffled(i),
    );
    const noise = noiseOf(draws, dataRow, dim);
    const own = (i: number, j: number) =>
      ((data[(dataRow[i] ?? 0) * dim + j] ?? 0) - (mean[j] ?? 0) - (rest[j] ?? 0)) / (scale[j] ?? 1);
    // a few roundings of values below 10
    expectClose(
      got.state ?? [],
      forRows(dim, (j) => forRows(capacity, (i) => own(i, j) + (noise[i * dim + j] ?? 0))),
      { absolute: 4e-6 },
    );
    const kept = dataRow.slice(0, count);
    expect([...(got.labels ?? [])]).toEqual(kept.map((row) => row % 3));
    expect([...(got.context ?? [])]).toEqual(kept.flatMap((row) => [...allContext.subarray(2 * row, 2 * row + 2)]));
  });
