// The works of works.json by pushforward: weights and checks for PyTorch first (`weightsOnly`), then the timed runs, each with its
// GPU-side trace, the same with the fixed tiling, and the results against f64.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeSafetensors, Flow, mlp, trainFlowMatching, trainMaximumLikelihood } from "pushforward";
import { faultOf } from "../check.ts";
import { flopsOf } from "../flops.ts";
import { checksOf, divergenceOf, points, solverOf } from "./checks.mjs";
import { args, elapsed, end, errors, isTiny, left, log, median, open, save, seconds, trace } from "./device.mjs";

const plan = JSON.parse(readFileSync(args.works, "utf8"));
const isAsked = ({ id, quick }) =>
  (quick || !args.quick) && (!args.only || args.only.split(",").some((part) => id.includes(part)));
const works = plan.works.filter(isAsked);
const out = { kind: "ours", results: [], faults: {}, errors };
const write = () => save(args.out, out);
const countOf = (work) => (isTiny ? work.tiny : work.n);
const networkNames = [...new Set(works.map(({ network }) => network))];
const flowsOf = (gpu) =>
  Object.fromEntries(
    networkNames.map((name) => [name, Flow.create(gpu, { velocity: mlp(plan.networks[name]), seed: 1 })]),
  );

/** Weights and checks, in a folder that pytorch.py reads; after each, so that what is cut off leaves what it had. */
async function writeChecks(flows) {
  mkdirSync(args.folder, { recursive: true });
  for (const [name, flow] of Object.entries(flows))
    writeFileSync(join(args.folder, `${name}.safetensors`), await flow.save());
  const tensors = {};
  for (const work of works) {
    if (!(work.torch > 0) || work.method === "dopri5") continue;
    if (left() < 4) {
      log(`no time for the check of ${work.id}`);
      continue;
    }
    try {
      Object.assign(tensors, await checksOf([work], flows));
      writeFileSync(join(args.folder, "checks.safetensors"), encodeSafetensors(tensors));
    } catch (error) {
      log(`check of ${work.id} FAILED: ${error.message}`);
      errors.push(`check of ${work.id}: ${error.message}`);
    }
  }
  log(`weights and ${Object.keys(tensors).length} tensors of checks are in ${args.folder}`);
}

const steadily = (once) => ({ perCall: 1, once });

/** A work as a function of its round, and how many steps a call of it does. */
function prepare(work, flow, n) {
  const solver = solverOf(work);
  switch (work.kind) {
    case "sample":
      return steadily(async (round) => {
        const precision = work.precision ?? "f32";
        const result = await flow.sample(n, { solver, seed: round, output: "gpu", precision });
        for (const value of Object.values(result)) if (value instanceof GPUBuffer) value.destroy();
        return result;
      });
    case "host":
      return steadily((round) => flow.sample(n, { solver, seed: round }));
    case "velocity": {
      const x = points(n * flow.dim, 3);
      return steadily(() => flow.velocity(x, 0.4));
    }
    case "moments":
      return steadily((round) => flow.moments(n, { solver, seed: round }));
    case "stream":
      return steadily(async (round) => {
        let [done, chunks] = [0, 0];
        for await (const { count } of flow.sampleStream(n, { solver, seed: round })) {
          done += count;
          chunks++;
        }
        if (done !== n) throw new Error(`${done} of ${n} particles came`);
        return { chunks };
      });
    case "likelihood": {
      const data = points(n * flow.dim, 3);
      return steadily((round) => flow.logProb(data, { solver, divergence: divergenceOf(work), seed: round }));
    }
    default: {
      const data = points(10_000 * flow.dim, 3);
      const steps = isTiny ? 3 : work.stepsPerRun;
      return {
        perCall: steps,
        async once(round) {
          const options = { steps, batchSize: n, logEvery: steps, seed: round };
          const training =
            work.objective === "likelihood"
              ? trainMaximumLikelihood(flow, data, { ...options, solver, divergence: "exact" })
              : trainFlowMatching(flow, data, options);
          let last = Number.NaN;
          for await (const { loss } of training) last = loss;
          if (!Number.isFinite(last)) throw new Error(`the loss is ${last}`);
          return { loss: last };
        },
      };
    }
  }
}

/** Operations of one call, of one step of a training, by the benches' formulas; dopri5 counts its evaluations. */
function flopsOfWork(work, n, nfe) {
  const { dim, hidden } = plan.networks[work.network];
  const network = { dim, hidden };
  const evaluation = flopsOf({ kind: "velocity", network, n: 1 });
  if (work.method === "dopri5") return evaluation * n * nfe * (work.kind === "likelihood" ? 1 + dim : 1);
  if (work.kind === "velocity") return evaluation * n;
  if (work.kind === "train")
    return work.objective === "likelihood" ? Number.NaN : flopsOf({ kind: "train", network, batch: n, stepsPerRun: 1 });
  const { method, steps } = work;
  if (work.kind === "likelihood")
    return flopsOf({ kind: "likelihood", network, n, method, steps, divergence: divergenceOf(work) });
  return flopsOf({ kind: "sample", network, n, method, steps });
}

/** First and second call, the rounds after them, and the trace of one more. */
async function timeRuns(gpu, work, flow, n, rounds, budget) {
  const run = prepare(work, flow, n);
  const begun = elapsed();
  const first = await seconds(() => run.once(0));
  const second = await seconds(() => run.once(1));
  // the scheduler learns the speed of this kind of work in the first calls
  for (let i = 0; i < 3 && second < 0.3 && elapsed() - begun < budget / 2; i++) await run.once(2);
  const times = [];
  let last;
  for (let round = 0; round < rounds && (round < 2 || elapsed() - begun < budget); round++) {
    const once = async () => {
      last = await run.once(10 + round);
    };
    times.push((await seconds(once)) / run.perCall);
    if (left() < 3) break;
  }
  return { run, first, second, times, last, traced: await trace(gpu.device, () => run.once(99)) };
}

async function measure(gpu, work, flow, share) {
  const n = countOf(work);
  const { run, first, second, times, traced, last } = await timeRuns(gpu, work, flow, n, args.rounds ?? 5, share);
  const time = median(times);
  const nfe = typeof last?.nfe === "number" ? last.nfe : undefined;
  const flops = flopsOfWork(work, n, nfe ?? Number.NaN);
  const busy = traced.busy / traced.wall;
  log(
    `${work.id}: ${(1000 * time).toFixed(3)} ms, ${(n / time).toExponential(3)} /s, ${(flops / time / 1e12).toFixed(3)} TFLOP/s; GPU busy ${(100 * busy).toFixed(0)} % of ${(1000 * traced.wall).toFixed(2)} ms in ${traced.passes} passes, ${traced.dispatches} dispatches, ${traced.submits} submits; first call ${(1000 * first).toFixed(0)} ms`,
  );
  return {
    seconds: time,
    best: Math.min(...times),
    worst: Math.max(...times),
    rounds: times.length,
    first,
    second,
    particlesPerSecond: n / time,
    tflops: flops / time / 1e12,
    tflopsWhileBusy: (flops * run.perCall) / traced.busy / 1e12,
    gpuBusyShare: busy,
    trace: traced,
    ...(nfe !== undefined && { nfe }),
    ...(last?.chunks && { chunks: last.chunks }),
  };
}

/** What is wrong with a large run, on a few particles, or "none": the speed of a wrong kernel is worth nothing. */
async function faultOfWork(work, flow) {
  const n = Math.min(countOf(work), 1 << 20);
  const { dim, hidden } = plan.networks[work.network];
  const { method, steps } = work;
  const x = points(n * dim, 3);
  const network = { dim, hidden, activation: "silu", weights: await flow.weights() };
  const solver = solverOf(work);
  if (work.kind === "sample")
    return faultOf({ kind: "sample", network, x, n, method, steps }, (await flow.push(x, { solver })).x) ?? "none";
  const divergence = divergenceOf(work);
  const { logProb } = await flow.logProb(x, { solver, divergence });
  return faultOf({ kind: "likelihood", network, x, n, method, steps, divergence }, logProb) ?? "none";
}

/** Runs each of some works while there is time, and keeps what fails from the others. */
async function each(some, least, work) {
  for (const [i, one] of some.entries()) {
    await work(one, left() < least, left() / (some.length - i));
    write();
  }
}

async function timeAll(gpu, flows) {
  await each(works, 4, async (work, isLate, share) => {
    const entry = { id: work.id, kind: work.kind, n: countOf(work), precision: work.precision ?? "f32" };
    out.results.push(entry);
    if (isLate) entry.skipped = "no time left";
    else
      try {
        Object.assign(entry, await measure(gpu, work, flows[work.network], Math.max(1, Math.min(4, share))));
      } catch (error) {
        entry.failed = String(error.stack ?? error).slice(0, 1500);
        log(`${work.id} FAILED: ${error.message}`);
      }
  });
}

/** The fixed tiling beside the tuned one, for the works that ask for it. */
async function timeUntuned() {
  const gpu = await open(false);
  const flows = flowsOf(gpu);
  const some = works.filter(({ fixed }) => fixed);
  await each(some, 3, async (work, isLate) => {
    const entry = out.results.find(({ id }) => id === work.id);
    if (isLate || !entry.seconds) return;
    try {
      const { times, traced } = await timeRuns(gpu, work, flows[work.network], countOf(work), 3, 1);
      entry.untuned = { seconds: median(times), busy: traced.busy };
      log(`${work.id}, fixed tiling: ${(1000 * median(times)).toFixed(3)} ms`);
    } catch (error) {
      entry.untuned = { failed: error.message };
    }
  });
  for (const flow of Object.values(flows)) flow.dispose();
  gpu.dispose();
}

// checks need no tuned kernels, and on adapters in software a search never ends
const gpu = await open(!args.weightsOnly && !isTiny);
const flows = flowsOf(gpu);
out.adapter = { ...gpu.info };
if (args.weightsOnly) await writeChecks(flows);
else {
  await timeAll(gpu, flows);
  await timeUntuned();
  const checked = works.filter(
    ({ kind, precision, method, network }) =>
      ["sample", "likelihood"].includes(kind) &&
      !precision &&
      method !== "dopri5" &&
      plan.networks[network].hidden[0] <= 128,
  );
  await each(checked, 3, async (work, isLate) => {
    if (isLate) return;
    out.faults[work.id] = await faultOfWork(work, flows[work.network]).catch(
      ({ message }) => `not checked: ${message}`,
    );
  });
  log(`against f64: ${JSON.stringify(out.faults)}`);
}
for (const flow of Object.values(flows)) flow.dispose();
gpu.dispose();
end();
