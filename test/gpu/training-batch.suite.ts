import * as pf from "pushforward";
import { planBatch } from "../../shaders/flow-matching.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { normals, philox, randomIndex, streams, uniform01, uniforms } from "../../src/random/philox.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, generator, uniformArray } from "./inputs.ts";

const key = [123, 456] as const;
const rows = 37;
const capacity = 128;
/** Crosses the word boundary of the counter within the batch. */
const first = 2 ** 32 - 37;
const labelDropout = 0.25;

const firstWord = (i: number, stream: number): number => {
  const words = new Uint32Array(4);
  philox((first + i) >>> 0, Math.floor((first + i) / 2 ** 32), 0, stream, key, words);
  return words[0] ?? 0;
};

const shapes: [string, pf.MlpOptions, "gaussian" | "uniform"][] = [
  ["a Gaussian source, dim 1", { dim: 1, hidden: [4] }, "gaussian"],
  ["a Gaussian source, dim 5, Fourier time", { dim: 5, hidden: [4], time: { fourier: 3 } }, "gaussian"],
  ["a uniform source, dim 3", { dim: 3, hidden: [4], inputOrder: "t,x" }, "uniform"],
  ["labels and context", { dim: 2, hidden: [4], classes: 3, context: 2, inputOrder: "t,x" }, "gaussian"],
];

for (const [name, options, source] of shapes) {
  test(`a batch is drawn as its formula says, from normalised data: ${name}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const { dim } = velocity;
    const data = uniformArray(rows * dim, -3, 5, 1);
    const mean = uniformArray(dim, 0.5, 1.5, 2);
    const scale = uniformArray(dim, 1, 3, 3);
    // what f32 has not of a mean
    const rest = uniformArray(dim, -0.1, 0.1, 8);
    const [a, b] = [uniformArray(dim, -1, 0, 4), uniformArray(dim, 0.5, 2, 5)];
    const next = generator(6);
    const labels = Uint32Array.from({ length: rows }, () => Math.floor(next() * 3));
    const context = uniformArray(rows * 2, -1, 1, 7);

    const inputs = dim + 1 + velocity.classes + velocity.context;
    const arena = new Arena(gpu.current);
    let got: Float32Array;
    let targets: Float32Array;
    try {
      await arena.allocate("data", data.byteLength, data);
      const constants = Float32Array.of(...mean, ...scale, ...rest, ...a, ...b);
      await arena.allocate("constants", constants.byteLength, constants);
      await arena.allocate("labels", labels.byteLength, labels);
      await arena.allocate("context", context.byteLength, context);
      await arena.allocate("h0", inputs * capacity * 4);
      await arena.allocate("target", dim * capacity * 4);
      const dispatches = [
        planBatch({
          velocity,
          source,
          capacity,
          rows,
          first,
          key,
          labelDropout,
          names: {
            data: "data",
            constants: "constants",
            labels: velocity.classes > 0 ? "labels" : undefined,
            context: velocity.context > 0 ? "context" : undefined,
          },
        }),
      ];
      await arena.makeRoom(dispatches.length);
      const { pipelines } = await arena.prepare(dispatches);
      const encoder = gpu.device.createCommandEncoder();
      arena.encode(encoder, dispatches, pipelines);
      gpu.device.queue.submit([encoder.finish()]);
      got = new Float32Array(await readBack(gpu.current, arena.buffer("h0"), inputs * capacity * 4));
      targets = new Float32Array(await readBack(gpu.current, arena.buffer("target"), dim * capacity * 4));
    } finally {
      arena.release();
    }

    const draws = (source === "gaussian" ? normals : uniforms)(key, streams.batchSource, first, capacity, dim);
    const times = uniforms(key, streams.batchTime, first, capacity, 1);
    const dataRow = Array.from({ length: capacity }, (_, i) => randomIndex(firstWord(i, streams.batchIndex), rows));
    const start = (i: number, j: number) => {
      const [low, other, z] = [a[j] ?? 0, b[j] ?? 0, draws[i * dim + j] ?? 0];
      return source === "gaussian" ? low + other * z : low + (other - low) * z;
    };
    const end = (i: number, j: number) =>
      ((data[(dataRow[i] ?? 0) * dim + j] ?? 0) - (mean[j] ?? 0) - (rest[j] ?? 0)) / (scale[j] ?? 1);
    const feature = (count: number, f: (row: number, i: number) => number) =>
      forRows(count, (row) => forRows(capacity, (i) => f(row, i)));
    const t = (i: number) => times[i] ?? 0;
    // a few roundings of values below 10
    const tolerance = { absolute: 4e-6 };
    expectClose(
      targets,
      feature(dim, (j, i) => end(i, j) - start(i, j)),
      tolerance,
    );
    const block = (from: number, count: number) => got.subarray(from * capacity, (from + count) * capacity);
    expectClose(
      block(0, dim),
      feature(dim, (j, i) => t(i) * end(i, j) + (1 - t(i)) * start(i, j)),
      tolerance,
    );
    // whatever a network makes of the time is its own
    expect(block(dim, 1)).toEqual(times);
    const isDropped = (i: number) => uniform01(firstWord(i, streams.labelDropout)) <= labelDropout;
    const oneHot = feature(velocity.classes, (c, i) => (!isDropped(i) && labels[dataRow[i] ?? 0] === c ? 1 : 0));
    expect([...block(inputs - velocity.context - velocity.classes, velocity.classes)]).toEqual(oneHot);
    const given = feature(velocity.context, (c, i) => context[(dataRow[i] ?? 0) * 2 + c] ?? 0);
    expect([...block(inputs - velocity.context, velocity.context)]).toEqual(given);
  });
}
