import * as pf from "pushforward";
import { openWorkers, type Workers } from "pushforward/workers";
import { expect, test } from "../suite.ts";
import { conditionsFor, uniformArray } from "./inputs.ts";
import { openMortals } from "./threads.ts";

const rangeSize = 1024;
const count = 6_145;
const starts = Array.from({ length: 7 }, (_, i) => i * rangeSize);
// small, since every worker compiles its kernels anew
const spec = { dim: 2, hidden: [4], classes: 3, context: 1 };
const { options: conditions } = conditionsFor(spec, count, 3);
const sampling = { seed: 5, solver: { method: "rk4", steps: 4 } } as const;
const plain = () => pf.mlp({ dim: 2, hidden: [4] });
/** Long enough to be in work when something else happens. */
const long = { seed: 5, logProb: true, solver: { method: "rk4", steps: 160 } } as const;

const bits = (values: Float32Array) => new Uint32Array(values.slice().buffer);

/** A result with its floats as bits, so that NaN and −0 count, and without what only workers tell. */
function exact(result: object): object {
  const { adapters: _, ...own } = result as Record<string, unknown>;
  const entries = Object.entries(own);
  return Object.fromEntries(entries.map(([name, v]) => [name, v instanceof Float32Array ? bits(v) : v]));
}

/** What is thrown, or a failure when nothing is. */
async function thrownBy(work: () => Promise<unknown>): Promise<pf.PushforwardError> {
  try {
    await work();
  } catch (error) {
    return error as pf.PushforwardError;
  }
  throw new Error("nothing was thrown");
}

async function joined(stream: AsyncIterable<{ start: number; x: Float32Array }>) {
  const found: { starts: number[]; x: number[] } = { starts: [], x: [] };
  for await (const { start, x } of stream) {
    found.starts.push(start);
    found.x.push(...bits(x));
  }
  return found;
}

const opened = (gpu: pf.Gpu) => openWorkers({ workers: [gpu, () => pf.openGpu({ recover: false })] });

test("threads and a device of this one give the bytes of one device: samples, paths, log p, steps of their own", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp(spec), seed: 1 });
  const workers = await openWorkers({ workers: ["thread", "thread", gpu], sameAdapter: true });
  expect(workers.workers.map(({ worker }) => /^(thread|process|device) \d+$/.test(worker))).toEqual([true, true, true]);
  const paths = { ...sampling, ...conditions, logProb: true, saveAt: [0.25, 1] };
  const samples = await flow.sample(count, paths);
  expect(exact(await workers.sample(flow, count, { ...paths, rangeSize }))).toEqual(exact(samples));
  const scoring = {
    ...conditions,
    seed: 3,
    divergence: { probe: "gaussian", probes: 2 },
    solver: { method: "dopri5" },
  } as const;
  const file = await flow.save();
  const scored = await workers.logProb(file, samples.x, { ...scoring, rangeSize: 2048 });
  expect(exact(scored)).toEqual(exact(await flow.logProb(samples.x, scoring)));
  expect(scored.adapters).toEqual([workers.workers[0]?.adapter]);
  await workers.close();
  flow.dispose();
});

test("probe vectors, empty calls and closed-form fields go through threads, with the bytes of one device", async ({
  gpu,
}) => {
  const velocity = pf.wgslVelocity({
    dim: 2,
    code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], sin(x[0])); }",
  });
  const flow = pf.Flow.create(gpu, { velocity, normalization: { mean: [1, 2], scale: [3, 4] } });
  const workers = await openWorkers({ workers: 2 });
  const x = uniformArray(2 * 1500, -1, 1, 2);
  const vectors = uniformArray(2 * 2 * 1500, -1, 1, 4);
  const options = { ...sampling, divergence: { probe: "gaussian", vectors } } as const;
  const found = await workers.logProb(flow, x, { ...options, rangeSize });
  expect(exact(found)).toEqual(exact(await flow.logProb(x, options)));
  // a tableau of one's own, in lists and arrays, and the figures of solvers with other numbers of stages
  const own = { a: [[], Float64Array.of(2 / 3) as unknown as number[]], b: [1 / 4, 3 / 4], c: [0, 2 / 3] };
  for (const solver of [{ method: own, steps: 3 }, { method: "bosh3" }] as const)
    expect(exact(await workers.sample(flow, 1500, { solver, rangeSize }))).toEqual(
      exact(await flow.sample(1500, { solver })),
    );
  expect(exact(await workers.sample(flow, 0))).toEqual(exact(await flow.sample(0)));
  expect(await joined(workers.sampleStream(flow, 0))).toEqual({ starts: [], x: [] });
  await workers.close();
  flow.dispose();
});

test("paths with noise have the bits of one device: any g(t), a path of one's own, a score of its own, sums", async ({
  gpu,
}) => {
  using flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  using score = pf.Flow.create(gpu, { velocity: plain(), seed: 2 });
  using samples = pf.Flow.create(gpu, { velocity: plain(), source: { samples: uniformArray(200, -1, 1, 3) }, seed: 1 });
  const workers = await openWorkers({ workers: ["thread", gpu] });
  const diffusion = (t: number) => 0.5 + Math.sqrt(1 - t);
  // α = t², σ = 1 − t², whose score at the end follows from no velocity
  const path = {
    alpha: (t: number) => t * t,
    sigma: (t: number) => 1 - t * t,
    dAlpha: (t: number) => 2 * t,
    dSigma: (t: number) => -2 * t,
  };
  const heun = { seed: 5, solver: { method: "heun2", steps: 4 } } as const;
  const calls: [pf.Flow, pf.SampleOptions & { output?: never; chunkSize?: never }][] = [
    [flow, { ...heun, sde: { diffusion }, saveAt: [0.5, 1] }],
    [flow, { ...heun, sde: { diffusion: (t: number) => 4 * t * (1 - t), path } }],
    [samples, { seed: 6, solver: { method: "euler", steps: 3 }, sde: { diffusion: 0.8, score } }],
    [flow, { ...heun, sde: { diffusion: 0 } }],
  ];
  for (const [of, options] of calls) {
    const found = await workers.sample(of, 2100, { ...options, rangeSize });
    expect(exact(found)).toEqual(exact(await of.sample(2100, options)));
  }
  const noisy = { ...heun, sde: { diffusion, score } };
  const [whole, stream] = [
    await flow.sample(2100, noisy),
    await joined(workers.sampleStream(flow, 2100, { ...noisy, rangeSize })),
  ];
  expect(stream.x).toEqual([...bits(whole.x)]);
  expect(exact(await workers.moments(flow, 2100, { ...noisy, rangeSize }))).toEqual(
    exact(await flow.moments(2100, noisy)),
  );
  // files stand for both flows where the caller has no device
  const files = { ...noisy, sde: { diffusion, score: await score.save() }, rangeSize };
  expect(exact(await workers.sample(await flow.save(), 2100, files))).toEqual(exact(whole));
  // told before anything is sent, as the flow tells it
  const { sde } = noisy;
  for (const [options, text] of [
    [{ sde: { diffusion: -1 } }, /^sample: sde.diffusion is -1/],
    [{ sde: { ...sde, noise: 3 } }, /^sample: sde has no option "noise"/],
    [{ sde: { diffusion: 1, score: 3 } }, /^sample: sde.score is 3/],
    [{ sde: { diffusion: 1, score: new Uint8Array(7) } }, /7 bytes|header|safetensors/],
    [{ sde, logProb: true }, /^sample: log p along a path with noise/],
    [{ sde, solver: { method: "rk4", steps: 3 } }, /^sample: sde is solved by Euler/],
  ] as const)
    expect((await thrownBy(() => workers.sample(flow, 10, options as never))).message).toMatch(text);
  expect((await thrownBy(() => workers.sample(samples, 10, { sde: { diffusion: 1 } }))).message).toMatch(
    /^sample: the score/,
  );
  await workers.close();
});

test("moments, histograms and mean log p have the bits of one device", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const workers = await openWorkers({ workers: ["thread", gpu] });
  const summing = { ...sampling, logProb: true };
  const range = [-3, 3] as [number, number];
  const bins = { ...sampling, bins: [7, 5] as [number, number], range: [range, range] as [typeof range, typeof range] };
  const x = uniformArray(2 * count, -2, 2, 6);
  const moments = await workers.moments(flow, count, { ...summing, rangeSize: 3000 });
  expect(exact(moments)).toEqual(exact(await flow.moments(count, summing)));
  const histogram = await workers.histogram(flow, count, { ...bins, rangeSize });
  expect(exact(histogram)).toEqual(exact(await flow.histogram(count, bins)));
  const mean = await workers.meanLogProb(flow, x, { ...sampling, rangeSize });
  expect(exact(mean)).toEqual(exact(await flow.meanLogProb(x, sampling)));
  await workers.close();
  flow.dispose();
});

test("a stream gives ranges in order and never runs further ahead of its consumer than it was told", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const workers = await opened(gpu);
  const whole = await flow.sample(count, sampling);
  let done = 0;
  let taken = 0;
  let most = 0;
  const onProgress = (progress: pf.Progress) => {
    done = progress.done;
    most = Math.max(most, done - taken);
  };
  const found: number[] = [];
  for await (const range of workers.sampleStream(flow, count, { ...sampling, rangeSize, ahead: 2, onProgress })) {
    expect(range.start).toBe(taken);
    // work of one's own, during which the workers could do everything
    await flow.sample(2000, long);
    found.push(...bits(range.x));
    taken += range.count;
  }
  expect(found).toEqual([...bits(whole.x)]);
  expect([done, taken]).toEqual([count, count]);
  expect(most).toBe(2 * rangeSize);
  await workers.close();
  flow.dispose();
});

test("an abort and an early end stop the workers, which then serve other calls", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const workers = await openWorkers({ workers: ["thread", gpu] });
  const reason = new Error("enough");
  const abort = new AbortController();
  const options = { ...long, rangeSize, signal: abort.signal, onProgress: () => abort.abort(reason) };
  expect(await thrownBy(() => workers.sample(flow, count, options))).toBe(reason);
  expect(await thrownBy(() => workers.sample(flow, count, options))).toBe(reason);
  const buffers = gpu.liveBufferCount;
  for await (const { start } of workers.sampleStream(flow, count, { ...long, rangeSize })) {
    expect(start).toBe(0);
    break;
  }
  expect(gpu.liveBufferCount).toBe(buffers);
  expect(exact(await workers.sample(flow, count, sampling))).toEqual(exact(await flow.sample(count, sampling)));
  await workers.close();
  flow.dispose();
});

test("a thread that is killed in the middle of a range: the same bytes, each range once, and one worker less", async ({
  gpu,
  home,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const notices: string[] = [];
  const onNotice = (text: string) => notices.push(text);
  const { workers, kill } = await openMortals(home, { workers: 3, onNotice });
  const [first] = workers.workers;
  // when one range of seven is done, each of the three has another one
  let isAlive = true;
  const onProgress = ({ done }: pf.Progress) => {
    // the same progress may be told twice
    if (done === rangeSize && isAlive) kill(first?.worker ?? "");
    isAlive &&= done < rangeSize;
  };
  const found = await joined(workers.sampleStream(flow, count, { ...long, rangeSize, ahead: 7, onProgress }));
  expect(found).toEqual({ starts, x: [...bits((await flow.sample(count, long)).x)] });
  expect(notices).toEqual([
    expect.stringMatching(
      /^worker (process|thread) \d+ was ended( by SIGKILL)? in the middle of particles \d+ to \d+ of 6145 \(sample\); 2 are left$/,
    ),
  ]);
  expect(await workers.workerCount()).toBe(2);
  await workers.close();
  flow.dispose();
});

test("when all threads are killed in the middle of a call, that is said, and later calls say it, too", async ({
  gpu,
  home,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const { workers, kill } = await openMortals(home, { workers: 2, onNotice: () => undefined });
  const names = workers.workers.map(({ worker }) => worker);
  const onProgress = () => names.forEach(kill);
  const error = await thrownBy(() => workers.sample(flow, count, { ...long, rangeSize, onProgress }));
  expect(error).toBeInstanceOf(pf.PushforwardError);
  expect(error.code).toBe("device-lost");
  expect(error.message).toMatch(/no worker is left: \w+ \d+ was ended[^,]*, \w+ \d+ was ended[^,]*; open new ones/);
  expect((await thrownBy(() => workers.moments(flow, 10))).message).toMatch(/no worker is left/);
  await workers.close();
  flow.dispose();
});

test("a range whose device is lost goes to another one; one that was opened by a function is opened again", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const own = await pf.openGpu({ recover: false });
  const devices: pf.Gpu[] = [];
  const open = async () => {
    devices.push(await pf.openGpu({ recover: false }));
    return devices.at(-1) as pf.Gpu;
  };
  const notices: string[] = [];
  const workers = await openWorkers({ workers: [own, open], onNotice: (text) => notices.push(text) });
  const onProgress = ({ done }: pf.Progress) => {
    if (done === rangeSize) own.device.destroy();
    if (done === 3 * rangeSize) devices[0]?.device.destroy();
  };
  const found = await joined(workers.sampleStream(flow, count, { ...long, rangeSize, ahead: 7, onProgress }));
  expect(found).toEqual({ starts, x: [...bits((await flow.sample(count, long)).x)] });
  expect(notices).toEqual([expect.stringMatching(/^worker device 1 lost its device.*; 1 is left$/)]);
  expect(workers.workers.map(({ worker }) => worker)).toEqual(["device 2"]);
  expect(devices.length).toBe(2);
  await workers.close();
  expect((await devices[1]?.lost)?.reason).toBe("destroyed");
  const lonely = await openWorkers({ workers: [gpu] });
  await lonely.close();
  gpu.assertUsable();
  expect((await thrownBy(() => openWorkers({ workers: [own] }))).code).toBe("device-lost");
  own.dispose();
  flow.dispose();
});

test("the last device is lost in the middle of a call: an error that says so", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const own = await pf.openGpu({ recover: false });
  const workers = await openWorkers({ workers: [own], onNotice: () => undefined });
  const onProgress = () => own.device.destroy();
  const error = await thrownBy(() => workers.sample(flow, count, { ...long, rangeSize, onProgress }));
  expect([error.code, error.message]).toEqual([
    "device-lost",
    "no worker is left: device 1 lost its device; open new ones with openWorkers()",
  ]);
  await workers.close();
  own.dispose();
  flow.dispose();
});

test("a device that comes back by itself stays a worker, without a notice", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const own = await pf.openGpu();
  const notices: string[] = [];
  const workers = await openWorkers({ workers: [own], onNotice: (text) => notices.push(text) });
  const { device } = own;
  const onProgress = () => device.destroy();
  const found = await workers.sample(flow, count, { ...long, rangeSize, onProgress });
  expect(exact(found)).toEqual(exact(await flow.sample(count, long)));
  expect([notices, await workers.workerCount(), own.device === device]).toEqual([[], 1, false]);
  await workers.close();
  own.dispose();
  flow.dispose();
});

test("calls at once share the workers; closing them ends the calls, and may be done twice", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const other = pf.Flow.create(gpu, { velocity: plain(), seed: 2 });
  const workers = await openWorkers({ workers: ["thread", gpu] });
  const options = { ...sampling, rangeSize };
  const found = await Promise.all([workers.sample(flow, count, options), workers.sample(other, count, options)]);
  const wanted = [await flow.sample(count, sampling), await other.sample(count, sampling)];
  expect(found.map(exact)).toEqual(wanted.map(exact));
  const stream = workers.sampleStream(flow, count, { ...long, rangeSize });
  await stream.next();
  const ends: Promise<unknown>[] = [];
  const onProgress = () => ends.push(workers.close());
  const closed = /the workers were closed while the call ran: close them after their calls/;
  const error = await thrownBy(() => workers.sample(other, count, { ...long, rangeSize, onProgress }));
  expect([error.code, closed.test(error.message)]).toEqual(["invalid-argument", true]);
  expect((await thrownBy(() => stream.next())).message).toMatch(closed);
  await Promise.all(ends);
  await workers[Symbol.asyncDispose]();
  expect(workers.workers).toEqual([]);
  const late = await thrownBy(() => workers.sample(flow, 10));
  expect(late.message).toBe("these workers have been closed: open new ones with openWorkers()");
  flow.dispose();
  other.dispose();
});

test("what a worker cannot do is an error that names the particles and the worker", async ({ gpu }) => {
  const broken = pf.Flow.create(gpu, {
    velocity: pf.wgslVelocity({ dim: 2, code: "fn velocity() -> f32 { return 1; }" }),
  });
  const own = await pf.openGpu();
  for (const place of ["thread", own] as const) {
    const workers = await openWorkers({ workers: [place] });
    const error = await thrownBy(() => workers.sample(broken, 10));
    expect(error.code).toBe("shader");
    expect(error.message).toMatch(/^particles 0 to 9 of 10 \(sample\) failed: [\s\S]*\(worker \w+ \d+\)$/);
    await workers.close();
  }
  own.dispose();
  broken.dispose();
});

test("workers that cannot be opened: what was got, what is expected, and nothing is left open", async ({ gpu }) => {
  const open = (options: object) => thrownBy(() => openWorkers(options as { workers: number }));
  const cases: [object, string, RegExp][] = [
    [{}, "invalid-argument", /workers is undefined, but it is a number of threads from 1 to 256, or a list/],
    [{ workers: 0 }, "invalid-argument", /workers is 0, but/],
    [{ workers: 1.5 }, "invalid-argument", /workers is 1\.5, but/],
    [{ workers: [] }, "invalid-argument", /workers is \[\], but/],
    [{ workers: ["tread"] }, "invalid-argument", /workers\[0\] is "tread".*did you mean "thread"/],
    [{ workers: [gpu, gpu.device] }, "invalid-argument", /workers\[1\] is an object, but it is what openGpu/],
    [{ workers: [async () => gpu.device] }, "invalid-argument", /workers\[0\] resolved to an object, but/],
    [{ worker: 2 }, "invalid-argument", /no option "worker": did you mean "workers"/],
    [{ workers: 1, gpu: { sofware: "allow" } }, "invalid-argument", /gpu has no option "sofware": did you mean/],
    [{ workers: 1, gpu: { tune: {} } }, "invalid-argument", /a store cannot go to a thread/],
    [{ workers: 1, gpu: { memoryBudget: 3 } }, "invalid-argument", /memoryBudget is 3, but .*\(worker \w+ \d+\)/],
    [{ workers: 1, script: 7 }, "invalid-argument", /script is 7, but/],
    [{ workers: 1, onNotice: "no" }, "invalid-argument", /onNotice is "no", but/],
    [{ workers: [gpu, "thread"], script: "nowhere.js" }, "unsupported", /pass the thread's script/],
  ];
  for (const [options, code, message] of cases) {
    const error = await open(options);
    expect(error).toBeInstanceOf(pf.PushforwardError);
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
  }
});

test("calls that cannot be spread are refused before a worker hears of them", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: plain(), seed: 1 });
  const workers = await openWorkers({ workers: [gpu] });
  const call = (work: (workers: Workers) => Promise<unknown>) => thrownBy(() => work(workers));
  expect((await call((w) => w.sample(new Uint8Array(7), 10))).code).toBe("format");
  const cases: [Promise<pf.PushforwardError>, RegExp][] = [
    [call((w) => w.sample("flow" as unknown as pf.Flow, 10)), /bytes of a file that Flow\.save/],
    [call((w) => w.sample(flow, 10, { chunkSize: 3 } as object)), /chunkSize is 3, but/],
    [call((w) => w.sample(flow, 10, { sed: 1 } as object)), /did you mean "seed"/],
    [call((w) => w.sample(flow, 10, { ahead: 0 })), /ahead is 0, but/],
    [call((w) => w.logProb(flow, new Float32Array(3))), /needs a multiple of 2/],
    [call((w) => w.logProb(flow, [1, 2] as unknown as Float32Array)), /rows that travel to workers are a Float32Array/],
  ];
  for (const [error, message] of cases) expect((await error).message).toMatch(message);
  await workers.close();
  flow.dispose();
});
