// The random calls of ../soak.mjs, which says how they ended. Up to four at once, of any kind and size, many of them aborted, broken off or thrown out of, and the device is lost beneath some.
// After each batch no buffer may be left over, every call that ended must have the bits that it has alone, and at the end the process
// may not have grown.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";
import { Flow, mlp, openGpu, toyData, trainFlowMatching, trainMaximumLikelihood, wgslVelocity } from "pushforward";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, seed: { type: "string", default: "1" } },
});
const minutes = Number(values.minutes);
let state = (Number(values.seed) * 7919 + 12345) % 2147483647;
const random = () => {
  state = (state * 16807) % 2147483647;
  return state / 2147483647;
};
/** The share of batches beneath which the device is lost. */
const lossShare = 0.04;
/** Seconds within which a batch ends, also on a busy machine. */
const patience = 120;
const below = (n) => Math.floor(n * random());
const pick = (list) => list[below(list.length)];

/** A digest of arrays and numbers, however deep. */
function digest(value) {
  const hash = createHash("sha256");
  const add = (part) => {
    if (ArrayBuffer.isView(part)) hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    else if (typeof part === "object" && part !== null) for (const key of Object.keys(part).sort()) add(part[key]);
    else hash.update(String(part));
  };
  add(value);
  return hash.digest("hex");
}

const midpoint = { method: "midpoint", steps: 4 };
const swirl = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1] + t, x[0] * x[1]); }`;
const data = toyData("moons", 2000, 1);
const rows = (n) => toyData("8gaussians", n, 3);

/** Kinds of calls: from a flow of its own and what stops it to a result. Chunks may be cut anyhow: bits do not depend on it. */
const kinds = {
  "sample, narrow": (gpu, o) =>
    withFlow(gpu, narrow, (flow) => flow.sample(5000, { solver: midpoint, seed: 1, logProb: true, ...o })),
  "sample, wide": (gpu, o) => withFlow(gpu, wide, (flow) => flow.sample(300, { solver: midpoint, seed: 1, ...o })),
  "sample, WGSL": (gpu, o) => withFlow(gpu, field, (flow) => flow.sample(20_000, { solver: midpoint, seed: 2, ...o })),
  "log p, exact": (gpu, o) => withFlow(gpu, narrow, (flow) => flow.logProb(rows(3000), { solver: midpoint, ...o })),
  "log p, probes": (gpu, o) =>
    withFlow(gpu, narrow, (flow) =>
      flow.logProb(rows(2000), { solver: midpoint, divergence: { probe: "gaussian", probes: 2 }, seed: 3, ...o }),
    ),
  dopri5: (gpu, o) =>
    withFlow(gpu, narrow, (flow) => flow.sample(1500, { solver: { method: "dopri5" }, seed: 4, ...o })),
  moments: (gpu, { chunkSize, ...o }) =>
    withFlow(gpu, narrow, (flow) => flow.moments(9000, { solver: midpoint, ...o })),
  histogram: (gpu, o) =>
    withFlow(gpu, field, (flow) =>
      flow.histogram(30_000, {
        solver: midpoint,
        bins: [20, 20],
        range: [
          [-3, 3],
          [-3, 3],
        ],
        ...o,
      }),
    ),
  "sample stream": (gpu, o) =>
    withFlow(gpu, narrow, async (flow) => {
      const parts = [];
      for await (const { x } of flow.sampleStream(6000, { solver: midpoint, seed: 5, ...o })) {
        parts.push(...x);
      }
      return Float32Array.from(parts);
    }),
  "log p stream": (gpu, { chunkSize, ...o }) =>
    withFlow(gpu, narrow, async (flow) => {
      const parts = [];
      for await (const { logProb } of flow.logProbStream([rows(700), rows(300), rows(64)], {
        solver: midpoint,
        ...o,
      })) {
        parts.push(...logProb);
      }
      return Float32Array.from(parts);
    }),
  "flow matching": (gpu, { signal }) =>
    withFlow(gpu, narrow, async (flow) => {
      for await (const _ of trainFlowMatching(flow, data, {
        steps: 12,
        batchSize: 256,
        seed: 6,
        ema: 0.9,
        logEvery: 4,
        ...(signal && { signal }),
      }));
      return flow.weights();
    }),
  "maximum likelihood": (gpu, { signal }) =>
    withFlow(gpu, narrow, async (flow) => {
      for await (const _ of trainMaximumLikelihood(flow, data, {
        steps: 3,
        batchSize: 64,
        seed: 7,
        solver: midpoint,
        ...(signal && { signal }),
      }));
      return flow.weights();
    }),
};
// small, so that the time goes into calls and not into compiling for the devices that are lost
const narrow = mlp({ dim: 2, hidden: [8] });
const wide = mlp({ dim: 2, hidden: [136] });
const field = wgslVelocity({ dim: 2, code: swirl });

async function withFlow(gpu, velocity, work) {
  const flow = Flow.create(gpu, { velocity, seed: 1 });
  try {
    return await work(flow);
  } finally {
    flow.dispose();
  }
}

/** The calls of the batch that runs, or ran last. */
let batch = [];
/** What is told when the run does not come to its end. */
const where = () => {
  const calls = batch.map(({ name, options, fate }) => `  ${name} ${JSON.stringify(options)}: ${fate}`);
  return `after ${counts.batches} batches, ${counts.calls} calls and ${counts.losses} losses, in the batch of\n${calls.join("\n")}`;
};
let isOver = false;
const fail = (why) => {
  if (isOver) return;
  isOver = true;
  console.log(`The soak failed ${where()}\n${why}`);
  process.exit(1);
};
process.on("uncaughtException", (error) => fail(error.stack ?? error));
process.on("unhandledRejection", (error) => fail(`an unhandled rejection: ${error?.stack ?? error}`));
process.on("exit", (code) => {
  if (!isOver) console.log(`The soak ended with code ${code} ${where()}\nnothing was left that could go on`);
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => fail(`it was ended by ${signal}`));

const counts = { calls: 0, ended: 0, aborted: 0, thrown: 0, batches: 0, losses: 0 };
let heard = performance.now();
const watchdog = setInterval(() => {
  if (performance.now() - heard > 1000 * patience) fail(`no batch has ended for ${patience} s`);
}, 1000);
watchdog.unref();

const gpu = await openGpu({ memoryBudget: 8 << 20 });
const faults = [];
let watched;
/** Hears of the faults that WebGPU finds on the device in use. */
function watch() {
  if (gpu.device === watched) return;
  watched = gpu.device;
  watched.addEventListener("uncapturederror", ({ error }) => faults.push(error.message));
}
watch();
const wanted = new Map();
for (const [name, run] of Object.entries(kinds)) {
  batch = [{ name, options: {}, fate: "running, alone" }];
  wanted.set(name, digest(await run(gpu, {})));
  heard = performance.now();
}
const base = gpu.liveBufferCount;
console.log(`${gpu.info.description || gpu.info.architecture}: ${minutes} minutes, seed ${values.seed}`);

const memory = [];
const end = performance.now() + 60_000 * minutes;
while (performance.now() < end) {
  batch = [];
  const calls = Array.from({ length: 1 + below(4) }, async () => {
    const name = pick(Object.keys(kinds));
    const options = random() < 0.6 ? { chunkSize: pick([64, 333, 1000, 4096]) } : {};
    const stop = new AbortController();
    const fate = random();
    if (fate < 0.3) setTimeout(() => stop.abort(new Error("aborted")), below(60));
    if (fate < 0.3) options.signal = stop.signal;
    const limit = 1 + below(4000);
    if (fate > 0.85 && name === "sample stream") options.stop = (length) => length > limit;
    const { stop: breaks, ...rest } = options;
    counts.calls++;
    const entry = { name, options: { chunkSize: rest.chunkSize, aborts: fate < 0.3 }, fate: "running" };
    batch.push(entry);
    try {
      const run = kinds[name];
      // what only streams know is passed beside the library's own options
      const result = breaks ? await broken(gpu, breaks, rest) : await run(gpu, rest);
      counts.ended++;
      entry.fate = "ended";
      assert.equal(digest(result), wanted.get(name), `${name}: other bits than alone, with ${JSON.stringify(rest)}`);
    } catch (error) {
      entry.fate = error.message;
      if (error instanceof assert.AssertionError) throw error;
      if (/aborted/.test(error.message)) counts.aborted++;
      else if (/consumer throws/.test(error.message)) counts.thrown++;
      else throw new Error(`${name}: ${error.message}`, { cause: error });
    }
  });
  let loss;
  if (random() < lossShare) {
    loss = setTimeout(() => {
      counts.losses++;
      gpu.device.destroy();
    }, below(60));
  }
  await Promise.all(calls);
  clearTimeout(loss);
  watch();
  counts.batches++;
  heard = performance.now();
  assert.equal(gpu.liveBufferCount, base, "buffers are left over");
  assert.equal(gpu.current.onLost.size, 0, "calls are left over");
  assert.deepEqual(faults, [], "WebGPU found fault");
  if (counts.batches % 20 === 0) memory.push(process.memoryUsage().rss / 2 ** 20);
}

function broken(device, breaks, rest) {
  return withFlow(device, narrow, async (flow) => {
    let length = 0;
    for await (const { x } of flow.sampleStream(6000, { solver: midpoint, seed: 5, ...rest })) {
      length += x.length;
      if (breaks(length)) throw new Error("the consumer throws");
    }
    throw new Error("the consumer throws");
  });
}

const middle = memory.slice(Math.floor(memory.length / 4), Math.floor(memory.length / 2));
const last = memory.slice(Math.floor((3 * memory.length) / 4));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
console.log(
  `${counts.calls} calls: ${counts.ended} ended with the bits that they have alone, ${counts.aborted} aborted, ${counts.thrown} thrown out of; ${counts.losses} devices lost beneath them; no buffer left over after any of ${counts.batches} batches; resident memory ${median(middle).toFixed(0)} MiB in the second quarter, ${median(last).toFixed(0)} MiB in the last`,
);
// in the first minutes kernels are still being compiled for the first time
if (minutes >= 3) assert.ok(median(last) < 1.15 * median(middle) + 16, "the process has grown");
gpu.dispose();
isOver = true;
