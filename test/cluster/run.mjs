// The cluster on a real Redis with worker processes, of which some are killed: node scripts/run.mjs test/cluster/run.mjs
import { strict as assert } from "node:assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { openCluster, runWorker } from "../../dist/cluster.js";
import { Flow, mlp, openGpu, wgslVelocity } from "../../dist/index.js";
import { startRedis } from "../../scripts/redis.mjs";
import { runCli, Workers } from "./workers.mjs";

const rangeSize = 1024;
const count = 12_289;
const labels = Uint32Array.from({ length: count }, (_, i) => (i * 7) % 3);
const sampling = { seed: 5, logProb: true, labels, saveAt: [0.5], solver: { method: "rk4", steps: 120 } };
const scoring = { seed: 3, labels, divergence: { probe: "gaussian", probes: 2 }, solver: { method: "dopri5" } };

const secondsSince = (start) => (performance.now() - start) / 1000;

const bytes = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

/** Every array by its bytes, all else by its JSON. */
function assertSame(found, wanted) {
  const { adapters: _, ...own } = found;
  assert.deepEqual(Object.keys(own).sort(), Object.keys(wanted).sort());
  for (const [name, value] of Object.entries(wanted)) {
    if (!ArrayBuffer.isView(value)) assert.deepEqual(own[name], value, name);
    else assert.ok(bytes(own[name]).equals(bytes(value)), `${name} has other bytes`);
  }
}

async function check(name, work) {
  const start = performance.now();
  const note = await work();
  console.log(`✓ ${name} (${note ? `${note}, ` : ""}${secondsSince(start).toFixed(1)} s)`);
}

const folder = await mkdtemp(join(tmpdir(), "pushforward-cluster-"));
let redis = await startRedis();
const workers = new Workers(redis.url);
const keys = new Redis(redis.url);
keys.on("error", () => undefined);
const gpu = await openGpu();
const notices = [];
try {
  const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [6], classes: 3 }), seed: 1 });
  const samples = await flow.sample(count, sampling);
  const scores = await flow.logProb(samples.x, scoring);
  const file = join(folder, "flow.safetensors");
  await writeFile(file, await flow.save());
  const cluster = await openCluster({ url: redis.url, sameAdapter: true, onNotice: (text) => notices.push(text) });

  await check("without a worker the caller is told what to start, and can give up", async () => {
    const giveUp = new AbortController();
    const told = [];
    const onNotice = (text) => {
      told.push(text);
      giveUp.abort();
    };
    const lonely = await openCluster({ url: redis.url, queue: "lonely", onNotice });
    await assert.rejects(lonely.sample(flow, 10, { signal: giveUp.signal }), { name: "AbortError" });
    await lonely.close();
    assert.match(told[0], /no worker is connected to the queue "lonely".*pushforward worker --redis redis:/);
    assert.deepEqual(await keys.keys("*lonely*"), []);
  });

  await check("four workers start", async () => {
    await Promise.all(["a", "b", "c", "d"].map((name) => workers.start(name)));
    assert.equal(await cluster.workerCount(), 4);
  });

  await check("samples of four workers have the bytes of one machine", async () => {
    // once to compile everywhere, once for the time
    await cluster.sample(flow, count, { ...sampling, rangeSize });
    const start = performance.now();
    const found = await cluster.sample(flow, count, { ...sampling, rangeSize });
    const seconds = secondsSince(start);
    assertSame(found, samples);
    return `undisturbed ${seconds.toFixed(1)} s`;
  });

  await check("two workers killed in the middle of a range: the same bytes, each range once", async () => {
    const killed = new Map();
    const from = workers.events.length;
    workers.onEvent = ({ phase, worker, start }) => {
      if (phase !== "start" || killed.size === 2 || killed.has(worker)) return;
      if (start < rangeSize * (killed.size === 0 ? 2 : 6)) return;
      killed.set(worker, start);
      workers.signal(worker, "SIGKILL");
    };
    const start = performance.now();
    const found = [];
    const starts = [];
    for await (const range of cluster.sampleStream(flow, count, { ...sampling, rangeSize })) {
      starts.push(range.start);
      found.push(range);
    }
    const seconds = secondsSince(start);
    workers.onEvent = () => undefined;
    assert.equal(killed.size, 2);
    for (const [worker, first] of killed) {
      assert.equal((await workers.ended(worker)).signal, "SIGKILL");
      const seen = workers.events.slice(from).filter((event) => event.start === first);
      assert.ok(!seen.some((event) => event.worker === worker && event.phase === "done"), "it was killed too late");
      assert.ok(
        seen.some((event) => event.worker !== worker && event.phase === "done"),
        "nobody took its range",
      );
    }
    assert.deepEqual(
      starts,
      Array.from({ length: 13 }, (_, i) => i * rangeSize),
    );
    const x = Buffer.concat(found.map((range) => bytes(range.x)));
    assert.ok(x.equals(Buffer.from(samples.x.buffer)), "x has other bytes");
    const p = Buffer.concat(found.map((range) => bytes(range.logProb)));
    assert.ok(p.equals(Buffer.from(samples.logProb.buffer)), "logProb has other bytes");
    assert.ok(notices.some((text) => /the worker of particles \d+ to \d+ of 12289 \(sample\) vanished/.test(text)));
    return `with two kills ${seconds.toFixed(1)} s`;
  });

  await check("two calls at once, log p of rows with labels, probes and steps of their own among them", async () => {
    const [found, others] = await Promise.all([
      cluster.logProb(flow, samples.x, { ...scoring, rangeSize: 2048 }),
      cluster.sample(flow, count, { ...sampling, rangeSize }),
    ]);
    assertSame(found, scores);
    assertSame(others, samples);
  });

  await check(
    "a worker that is frozen until another one has done its range, and then goes on, changes nothing",
    async () => {
      let frozen;
      workers.onEvent = ({ phase, worker, start }) => {
        if (phase !== "start" || start !== 3 * rangeSize || frozen !== undefined) return;
        frozen = worker;
        workers.signal(worker, "SIGSTOP");
      };
      assertSame(await cluster.sample(flow, count, { ...sampling, rangeSize }), samples);
      const thawed = new Promise((resolve) => {
        workers.onEvent = ({ phase, worker }) => phase !== "start" && worker === frozen && resolve(phase);
      });
      workers.signal(frozen, "SIGCONT");
      assert.match(await thawed, /^(done|dropped)$/);
      workers.onEvent = () => undefined;
    },
  );

  await check("moments, histograms and mean log p have the bits of one machine", async () => {
    const solver = { method: "rk4", steps: 4 };
    const drawing = { seed: 5, solver, labels };
    const range = [-3, 3];
    const bins = { ...drawing, bins: [7, 5], range: [range, range] };
    const summing = { ...drawing, logProb: true };
    assertSame(await cluster.moments(flow, count, { ...summing, rangeSize: 3000 }), await flow.moments(count, summing));
    assertSame(await cluster.histogram(flow, count, { ...bins, rangeSize }), await flow.histogram(count, bins));
    const rows = samples.x.subarray(0, 8002);
    const scored = { solver, labels: labels.subarray(0, 4001) };
    assertSame(await cluster.meanLogProb(flow, rows, { ...scored, rangeSize }), await flow.meanLogProb(rows, scored));
    assertSame(await cluster.sample(flow, 0), await flow.sample(0));
  });

  await check("paths with noise, and a score of its own, have the bits of one machine", async () => {
    const diffusion = (t) => 0.5 + Math.sqrt(1 - t);
    const noisy = { seed: 5, labels, solver: { method: "heun2", steps: 4 }, sde: { diffusion } };
    assertSame(await cluster.sample(flow, count, { ...noisy, rangeSize }), await flow.sample(count, noisy));
    const code = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }";
    const score = Flow.create(gpu, { velocity: wgslVelocity({ dim: 2, code }) });
    const scored = { ...noisy, sde: { diffusion, score } };
    assertSame(await cluster.sample(flow, count, { ...scored, rangeSize }), await flow.sample(count, scored));
  });

  await check("a worker that is asked to end gives its range back", async () => {
    const name = workers.events.findLast(({ phase }) => phase === "done").worker;
    workers.onEvent = ({ phase, worker }) => phase === "start" && worker === name && workers.signal(name, "SIGTERM");
    assertSame(await cluster.sample(flow, count, { ...sampling, rangeSize }), samples);
    workers.onEvent = () => undefined;
    const { code, told } = await workers.ended(name);
    assert.equal(code, 0, told);
    assert.ok(workers.events.some(({ phase, worker }) => phase === "returned" && worker === name));
  });

  await check("a consumer that stops early and one that aborts leave nothing behind", async () => {
    for await (const { start } of cluster.sampleStream(flow, count, { ...sampling, rangeSize })) {
      assert.equal(start, 0);
      break;
    }
    const abort = new AbortController();
    const reason = new Error("enough");
    const onProgress = () => abort.abort(reason);
    const call = cluster.sample(flow, count, { ...sampling, rangeSize, signal: abort.signal, onProgress });
    await assert.rejects(call, reason);
    assert.deepEqual(await keys.keys("*:data:call:*"), []);
    assert.deepEqual(await keys.keys("*:data:flow:*"), []);
  });

  await check("a consumer that takes its time holds the workers up, and may close the cluster meanwhile", async () => {
    const slow = await openCluster({ url: redis.url });
    let started = 0;
    let taken = 0;
    let most = 0;
    workers.onEvent = ({ phase }) => {
      if (phase === "start") most = Math.max(most, ++started - taken);
    };
    const stream = slow.sampleStream(flow, count, { ...sampling, rangeSize, ahead: 3 });
    for await (const { start } of stream) {
      taken++;
      if (start === 3 * rangeSize) break;
    }
    assert.ok(most <= 3, `${most} ranges were under way`);
    workers.onEvent = () => undefined;
    for await (const _ of slow.sampleStream(flow, count, { ...sampling, rangeSize })) {
      await slow.close();
      break;
    }
    await assert.rejects(slow.sample(flow, 10), { message: /has been closed/ });
  });

  await check("what a worker cannot do is an error that names the particles and the worker", async () => {
    const broken = Flow.create(gpu, { velocity: wgslVelocity({ dim: 2, code: "fn velocity() -> f32 { return 1; }" }) });
    await assert.rejects(cluster.sample(broken, 10), {
      code: "shader",
      message: /^particles 0 to 9 of 10 \(sample\) failed: [\s\S]*\(worker [abcd]\)$/,
    });
    const turning = Flow.create(gpu, {
      velocity: wgslVelocity({
        dim: 2,
        code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }",
      }),
      normalization: { mean: [1, 2], scale: [3, 4] },
    });
    assertSame(await cluster.sample(turning, 1500), await turning.sample(1500));
  });

  await check("a worker refuses a job of another version, and removes it when nobody waits for it", async () => {
    const jobs = new Queue("pushforward", { connection: { url: redis.url }, prefix: "pushforward" });
    const refused = new Promise((resolve) => {
      workers.onEvent = ({ phase, message }) => phase === "failed" && resolve(message);
    });
    await jobs.add("sample", {
      version: "9.9.9",
      protocol: 0,
      call: "none",
      what: "sample",
      start: 0,
      count: 1,
      total: 1,
    });
    assert.match(await refused, /pushforward 9\.9\.9 \(protocol 0\), but this worker is pushforward/);
    workers.onEvent = () => undefined;
    await jobs.close();
  });

  await check("a worker whose device is lost opens another one, or ends where it cannot", async () => {
    const opened = [];
    const stop = new AbortController();
    let ready;
    const isReady = new Promise((resolve) => {
      ready = resolve;
    });
    const queue = "losses";
    const url = redis.url;
    const open = async () => {
      opened.push(await openGpu({ recover: false }));
      return opened.at(-1);
    };
    const events = [];
    const serving = runWorker(open, {
      url,
      queue,
      signal: stop.signal,
      onReady: ready,
      onJob: (event) => {
        events.push(event);
        if (event.phase === "start" && event.start === rangeSize && opened.length === 1) opened[0].device.destroy();
      },
    });
    await isReady;
    const other = await openCluster({ url, queue });
    const call = { ...sampling, labels: labels.subarray(0, 2500), rangeSize };
    assertSame(await other.sample(flow, 2500, call), await flow.sample(2500, { ...sampling, labels: call.labels }));
    assert.equal(opened.length, 2);
    assert.ok(events.some(({ phase, message }) => phase === "failed" && /device-lost.*2 more attempts/.test(message)));
    stop.abort();
    assert.equal((await serving).served, 3);
    const own = await openGpu({ recover: false });
    const ending = runWorker(own, { url, queue, onJob: () => own.device.destroy() });
    const abort = new AbortController();
    const waiting = other.sample(flow, 2500, { ...call, signal: abort.signal });
    await assert.rejects(ending, { code: "device-lost" });
    abort.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    await other.close();
  });

  await check("what cannot be spread is refused before anything is sent", async () => {
    await assert.rejects(cluster.sample(new Uint8Array(7), 10), { code: "format" });
    await assert.rejects(cluster.sample("flow", 10), {
      code: "invalid-argument",
      message: /bytes of a file that Flow\.save/,
    });
    await assert.rejects(cluster.sample(flow, 10, { output: "gpu" }), { message: /output is "gpu", but/ });
    await assert.rejects(cluster.sample(flow, 10, { sed: 1 }), { message: /did you mean "seed"/ });
    await assert.rejects(cluster.logProb(flow, new Float32Array(3)), { message: /needs a multiple of 2/ });
  });

  await check("the command line writes the same file with --cluster as without", async () => {
    const score = join(folder, "score.safetensors");
    const scoring = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [6] }), seed: 2 });
    await writeFile(score, await scoring.save());
    scoring.dispose();
    for (const more of [["--log-prob"], ["--diffusion", "0.7", "--score", score]]) {
      const words = ["sample", file, "--count", "5003", "--steps", "7", "--seed", "9", ...more];
      const spread = ["--cluster", redis.url, "--range-size", "1024"];
      const far = await runCli([...words, "-o", join(folder, "far.csv"), ...spread]);
      assert.equal(far.code, 0, far.error);
      const near = await runCli([...words, "-o", join(folder, "near.csv")]);
      assert.equal(near.code, 0, near.error);
      const [one, other] = await Promise.all(["far.csv", "near.csv"].map((name) => readFile(join(folder, name))));
      assert.ok(one.equals(other), `the files differ, ${more.join(" ")}`);
    }
  });

  const last = workers.events.findLast(({ phase }) => phase === "done").worker;
  workers.signal(last, "SIGINT");
  assert.equal((await workers.ended(last)).code, 0);
  await cluster.close();
  await assert.rejects(cluster.sample(flow, 10), { message: /has been closed/ });

  await check("in the end there is no key left in Redis", async () => {
    assert.deepEqual(await keys.keys("*"), []);
  });

  await check(
    "a Redis that was started anew ends the calls that it has forgotten; workers come back to it",
    async () => {
      await workers.start("e");
      const told = [];
      const other = await openCluster({ url: redis.url, queue: "lonely", onNotice: (text) => told.push(text) });
      const forgotten = other.sample(flow, 10);
      forgotten.catch(() => undefined);
      while ((await keys.keys("*lonely:wait")).length === 0) await new Promise(setImmediate);
      const { port } = redis;
      await redis.close();
      redis = await startRedis({ port });
      await assert.rejects(forgotten, { code: "connection", message: /Redis no longer has the flow or the call/ });
      assert.ok(told.some((text) => /connected to Redis at redis:.* again/.test(text)));
      await other.close();
      const again = await openCluster({ url: redis.url, onNotice: () => undefined });
      const call = { ...sampling, labels: labels.subarray(0, 100) };
      assertSame(await again.sample(flow, 100, call), await flow.sample(100, call));
      await again.close();
      workers.signal("e", "SIGTERM");
      await workers.ended("e");
      assert.deepEqual(await keys.keys("*"), []);
    },
  );

  keys.disconnect();
  await redis.close();
  await check("where there is no Redis, that is said at once, with the address", async () => {
    const message = /there is no Redis to be used at redis:\/\/127\.0\.0\.1:\d+ \(connection refused\): start one/;
    const url = redis.url.replace("//", "//user:secret@");
    await assert.rejects(openCluster({ url }), (error) => {
      assert.doesNotMatch(error.message, /secret/);
      assert.match(error.message, message);
      return error.code === "connection";
    });
    for (const args of [
      ["worker", "--redis", redis.url],
      ["sample", file, "--count", "5", "-o", "-", "--cluster", redis.url],
    ]) {
      const { code, error } = await runCli(args);
      assert.equal(code, 1, args[0]);
      assert.match(error, message);
    }
  });
} finally {
  workers.killAll();
  keys.disconnect();
  await redis.close();
  await rm(folder, { recursive: true, force: true });
}
gpu.dispose();
process.exit(0);
