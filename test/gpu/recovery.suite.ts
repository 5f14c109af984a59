import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";
import { lose, ofNews, ownGpu, rejection, withFlow } from "./losing.ts";

const solver = { method: "midpoint", steps: 4 } as const;
// small, since every lost device compiles its kernels anew
const narrow = pf.mlp({ dim: 2, hidden: [4] });
const wide = pf.mlp({ dim: 3, hidden: [144] });
const conditioned = pf.mlp({ dim: 2, hidden: [4], classes: 3 });
const swirl = pf.wgslVelocity({
  dim: 2,
  code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1] + t, sin(x[0]) * x[1]); }",
});

interface Running {
  onProgress?: (progress: pf.Progress) => void;
  chunkSize?: number;
}

/** Calls of every kind, each on a flow of its own, with what their results consist of. */
const calls: Record<string, (gpu: pf.Gpu, o: Running) => Promise<unknown>> = {
  "sample with log p at saved times": (gpu, o) =>
    withFlow(gpu, narrow, (flow) => flow.sample(3001, { solver, seed: 1, logProb: true, saveAt: [0, 0.5, 1], ...o })),
  "sample of a wide network": (gpu, o) => withFlow(gpu, wide, (flow) => flow.sample(401, { solver, seed: 2, ...o })),
  "guided sample of classes": (gpu, o) =>
    withFlow(gpu, conditioned, (flow) =>
      flow.sample(1001, { solver, labels: new Uint32Array(1001).map((_, i) => i % 3), guidance: 1.5, ...o }),
    ),
  "push with dopri5": (gpu, o) =>
    withFlow(gpu, narrow, (flow) => flow.push(uniformArray(2 * 901, -2, 2, 3), { solver: { method: "dopri5" }, ...o })),
  "log p by probes": (gpu, o) =>
    withFlow(gpu, narrow, (flow) =>
      flow.logProb(uniformArray(2 * 1501, -2, 2, 4), {
        solver,
        divergence: { probe: "gaussian", probes: 2 },
        seed: 5,
        ...o,
      }),
    ),
  "log p of a WGSL field": (gpu, o) =>
    withFlow(gpu, swirl, (flow) => flow.logProb(uniformArray(2 * 1501, -2, 2, 6), { solver, ...o })),
  moments: (gpu, o) => withFlow(gpu, narrow, (flow) => flow.moments(9001, { solver, seed: 7, logProb: true, ...o })),
  histogram: (gpu, o) =>
    withFlow(gpu, swirl, (flow) => flow.histogram(9001, { solver, bins: [9, 7], range: [[-2, 2], [-2, 2]], ...o })), // biome-ignore format: a box
  "mean of log p": (gpu, o) =>
    withFlow(gpu, narrow, (flow) => flow.meanLogProb(uniformArray(2 * 5001, -2, 2, 8), { solver, ...o })),
  "density on a grid": (gpu, o) =>
    withFlow(gpu, narrow, (flow) => flow.densityGrid({ box: [[-3, 3], [-3, 3]], cells: [41, 40], solver, ...o })), // biome-ignore format: a box
  Jᵀ·w: (gpu, o) =>
    withFlow(gpu, narrow, (flow) =>
      flow.vjp(uniformArray(2 * 1501, -2, 2, 9), 0.3, uniformArray(2 * 1501, -1, 1, 10), o),
    ),
};

for (const [name, call] of Object.entries(calls)) {
  test(`a call whose device is lost twice on the way ends with its own bits: ${name}`, async ({ gpu }) => {
    const wanted = await call(gpu, {});
    const { gpu: own, devices } = await ownGpu();
    devices();
    let chunks = 0;
    const onProgress = ofNews(() => {
      chunks++;
      if (chunks === 2 || chunks === 4) lose(own);
      devices();
    });
    // chunks are smaller than the call in every way of counting; vjp takes no callback more often than there are chunks
    const got = await call(own, {
      onProgress,
      chunkSize: name.includes("wide") ? 64 : name.includes("9001") ? 2048 : 192,
    });
    expect(got).toEqual(wanted);
    expect(devices() >= 2).toBe(true);
    expect(own.liveBufferCount).toBe(0);
    own.dispose();
  });
}

test("a stream goes on after every loss of its device: every particle once, in order, with the bits of an undisturbed one", async ({
  gpu,
}) => {
  // behind each of the first three losses are more chunks than are made ahead
  const n = 3461;
  const options = { solver, seed: 3, logProb: true, chunkSize: 330 } as const;
  const wanted = await withFlow(gpu, narrow, (flow) => flow.sample(n, options));
  const { gpu: own, devices } = await ownGpu();
  const x: number[] = [];
  const logProb: number[] = [];
  await withFlow(own, narrow, async (flow) => {
    for await (const part of flow.sampleStream(n, options)) {
      expect(part.start).toBe(x.length / 2);
      x.push(...part.x);
      logProb.push(...(part.logProb ?? []));
      devices();
      if ((part.start / 330) % 3 === 1) lose(own);
    }
  });
  expect(Float32Array.from(x)).toEqual(wanted.x);
  expect(Float32Array.from(logProb)).toEqual(wanted.logProb);
  expect(devices() > 3).toBe(true);
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("streams of chunks and calls beside them outlive the loss of their device together", async ({ gpu }) => {
  const rows = [300, 500, 200].map((n, i) => uniformArray(2 * n, -2, 2, i));
  const run = (on: pf.Gpu, disturb: () => void) =>
    withFlow(on, narrow, async (flow) => {
      const scores: number[] = [];
      const scored = (async () => {
        for await (const { logProb } of flow.logProbStream(rows, { solver, chunkSize: 64 })) {
          scores.push(...logProb);
          disturb();
        }
      })();
      const [sample, moments] = await Promise.all([
        flow.sample(2000, { solver, seed: 4, chunkSize: 128 }),
        flow.moments(5000, { solver, seed: 5, chunkSize: 1024 }),
        scored,
      ]);
      return { scores, sample, moments };
    });
  const wanted = await run(gpu, () => undefined);
  const { gpu: own } = await ownGpu();
  expect(await run(own, () => lose(own))).toEqual(wanted);
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("results that stay on the device begin anew after its loss and are whole", async ({ gpu }) => {
  const wanted = await withFlow(gpu, narrow, (flow) => flow.sample(1000, { solver, seed: 6, logProb: true }));
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  let chunks = 0;
  const resident = await flow.sample(1000, {
    solver,
    seed: 6,
    logProb: true,
    output: "gpu",
    chunkSize: 128,
    onProgress: ofNews(() => {
      if (++chunks === 3) lose(own);
    }),
  });
  // what the buffers hold goes back to the source, on the device that they are on
  const read = await flow.push(resident.x, { from: 1, to: 1, solver });
  expect(read.x).toEqual(wanted.x);
  for (const buffer of [resident.x, resident.x0, resident.logProb]) buffer?.destroy();
  flow.dispose();
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("what was passed in a GPUBuffer is gone with its device: the call says so, and the next one works", async () => {
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const { x } = await flow.sample(2000, { solver, output: "gpu" });
  const error = await rejection(flow.push(x, { solver, chunkSize: 128, onProgress: ofNews(() => lose(own)) }));
  expect(error.code).toBe("device-lost");
  expect(error.message).toMatch(/with it x, passed to push in a GPUBuffer: make it anew on gpu\.device/);
  expect((await flow.push(new Float32Array(20), { solver })).x.length).toBe(20);
  const foreign = await rejection(flow.push(x, { solver }));
  expect(foreign.code).toBe("invalid-argument");
  flow.dispose();
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("a device that is lost between calls is opened anew by the next one, and weights are where they were", async ({
  gpu,
}) => {
  const wanted = await withFlow(gpu, narrow, (flow) => flow.sample(500, { solver }));
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const weights = await flow.weights();
  for (let loss = 0; loss < 3; loss++) {
    const lost = own.lost;
    lose(own);
    expect((await lost).reason).toBe("destroyed");
    expect((await flow.sample(500, { solver })).x).toEqual(wanted.x);
    expect(own.isLost).toBe(false);
  }
  lose(own);
  await own.lost;
  expect(await flow.weights()).toEqual(weights);
  flow.dispose();
  own.dispose();
});

test("a running call keeps the weights that it began with; after a loss it cannot, and says so", async ({ gpu }) => {
  const other = await withFlow(gpu, narrow, (flow) => flow.weights());
  for (const tensor of Object.values(other)) tensor.fill(0.125);
  const wanted = await withFlow(gpu, narrow, (flow) => flow.sample(2000, { solver }));
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  let x: number[] = [];
  for await (const part of flow.sampleStream(2000, { solver, chunkSize: 192 })) {
    if (part.start === 0) {
      flow.setWeights(other);
      await flow.sample(10, { solver }); // packs them
    }
    x.push(...part.x);
  }
  expect(Float32Array.from(x)).toEqual(wanted.x);
  const changed = flow.sample(2000, {
    solver,
    chunkSize: 192,
    onProgress: ({ done }) => {
      if (done !== 192) return;
      for (const tensor of Object.values(other)) tensor.fill(0.25);
      flow.setWeights(other);
      lose(own);
    },
  });
  const error = await rejection(changed);
  expect(error.code).toBe("device-lost");
  expect(error.message).toContain("weights were changed meanwhile");
  x = [...(await flow.sample(10, { solver })).x];
  expect(x.every(Number.isFinite)).toBe(true);
  flow.dispose();
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("a call beside a training that has lost its device says that the next step of the training brings the weights back", async () => {
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const data = uniformArray(2 * 64, -1, 1, 8);
  const training = pf.trainFlowMatching(flow, data, { steps: 3, batchSize: 32, logEvery: 1 });
  await training.next();
  const { lost } = own;
  lose(own);
  await lost;
  const error = await rejection(flow.sample(10, { solver }));
  expect(error.code).toBe("device-lost");
  expect(error.message).toContain("take the next step of trainFlowMatching");
  await training.next();
  expect((await flow.sample(10, { solver })).nonFinite).toBe(0);
  await training.return?.();
  flow.dispose();
  own.dispose();
});

test("a call that loses the device again and again without getting on gives up with device-lost", async () => {
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const limit = performance.now() + 60_000;
  // whatever device is opened is lost at once
  let current: GPUDevice | undefined;
  const watch = setInterval(() => {
    if (own.device !== current) {
      current = own.device;
      lose(own);
    }
  });
  const error = await rejection(flow.sample(200_000, { solver: { method: "rk4", steps: 400 }, chunkSize: 200_000 }));
  clearInterval(watch);
  expect(error.code).toBe("device-lost");
  expect(error.message).toContain("lost 6 times in a row");
  expect(performance.now()).toBeLessThan(limit);
  expect((await flow.sample(10, { solver })).x.length).toBe(20);
  flow.dispose();
  own.dispose();
});

test("an abort, a flow that is disposed and a Gpu that is disposed end a call in their own words, also around a loss", async () => {
  const { gpu: own } = await ownGpu();
  const long = { solver: { method: "rk4", steps: 50 }, chunkSize: 512 } as const;
  const stop = new AbortController();
  const first = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const aborted = first.sample(20_000, {
    ...long,
    signal: stop.signal,
    onProgress: () => {
      lose(own);
      stop.abort(new Error("enough"));
    },
  });
  await expect(aborted).rejects.toThrow("enough");
  const disposed = await rejection(first.sample(20_000, { ...long, onProgress: () => first.dispose() }));
  expect(disposed.code).toBe("invalid-argument");
  expect(disposed.message).toContain("flow has been disposed");
  const second = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const both = await rejection(
    second.sample(20_000, {
      ...long,
      onProgress: () => {
        second.dispose();
        lose(own);
      },
    }),
  );
  expect(both.message).toContain("flow has been disposed");
  expect(own.liveBufferCount).toBe(0);
  const third = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  const gone = await rejection(third.sample(20_000, { ...long, onProgress: () => own.dispose() }));
  expect(gone.code).toBe("invalid-argument");
  expect(gone.message).toContain("Gpu has been disposed");
});

test("a result that cannot be mapped is computed again in smaller chunks, with the same bits", async ({ gpu }) => {
  const wanted = await withFlow(gpu, narrow, (flow) => flow.sample(3000, { solver, seed: 14, logProb: true }));
  const { gpu: own } = await ownGpu();
  const prototype = Object.getPrototypeOf(own.device.createBuffer({ size: 16, usage: 9 })) as GPUBuffer;
  const { mapAsync } = prototype;
  let fails = 2;
  prototype.mapAsync = function (this: GPUBuffer, ...range: Parameters<GPUBuffer["mapAsync"]>) {
    return fails-- > 0 ? Promise.reject(new Error("no room to map")) : mapAsync.apply(this, range);
  };
  try {
    const sizes: number[] = [];
    await withFlow(own, narrow, async (flow) => {
      const x: number[] = [];
      for await (const part of flow.sampleStream(3000, { solver, seed: 14, logProb: true, chunkSize: 1024 })) {
        sizes.push(part.count);
        x.push(...part.x);
      }
      expect(Float32Array.from(x)).toEqual(wanted.x);
    });
    expect(Math.max(...sizes)).toBe(512);
  } finally {
    prototype.mapAsync = mapAsync;
  }
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("a device that was passed in is never replaced: its loss ends the call", async () => {
  const host = await pf.openGpu();
  const guest = await pf.openGpu({ device: host.device });
  const flow = pf.Flow.create(guest, { velocity: narrow, seed: 1 });
  const error = await rejection(
    flow.sample(20_000, { solver, chunkSize: 512, onProgress: () => host.device.destroy() }),
  );
  expect(error.code).toBe("device-lost");
  expect(error.message).toContain("openGpu()");
  expect(guest.isLost).toBe(true);
  guest.dispose();
  host.dispose();
});

test("a device of another kind does not take the place of a lost one, since its results would have other bits", async () => {
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  await flow.sample(100, { solver });
  const { description } = own.info;
  // as if the adapter that is here had come in the place of the one that was lost
  Object.assign(own.info, { description: "a GPU that is gone" });
  lose(own);
  await own.lost;
  const error = await rejection(flow.sample(100, { solver }));
  expect(error.code).toBe("device-lost");
  expect(error.message).toContain("the adapter is another one now");
  Object.assign(own.info, { description });
  expect((await flow.sample(100, { solver })).x.length).toBe(200);
  flow.dispose();
  expect(own.liveBufferCount).toBe(0);
  own.dispose();
});

test("a Gpu that is disposed while a device is opened for it keeps none", async () => {
  const { gpu: own } = await ownGpu();
  const flow = pf.Flow.create(own, { velocity: narrow, seed: 1 });
  lose(own);
  await own.lost;
  const pending = rejection(flow.sample(100, { solver }));
  own.dispose();
  const error = await pending;
  expect(error.code).toBe("invalid-argument");
  expect(error.message).toContain("Gpu has been disposed");
});
