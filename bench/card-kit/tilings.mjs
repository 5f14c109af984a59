// Every tiling that the library would time on this device, and more of their kind: compilation, seconds on the GPU, bits; then what the
// library's own search chooses.
import process from "node:process";

import { tileOf } from "../../shaders/tile.ts";
import { userStore } from "../../src/gpu/cache-folder.ts";
import { Flow, mlp, openGpu, residualMlp } from "../../src/index.ts";
import { networkOf } from "../../src/network/of.ts";
import { networkEngines } from "../../src/ode/engines.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { integrationOf } from "../../src/ode/integration.ts";
import { candidateTilings, sameTiling } from "../../src/tune/candidates.ts";
import { choiceOf, modeOf } from "../../src/tune/on-demand.ts";
import { tilingsOf } from "../../src/tune/tilings.ts";
import { args, budgeted, elapsed, end, errors, findAdapter, left, log, save, trace } from "./device.mjs";

const three = (dim, width) => mlp({ dim, hidden: [width, width, width] });
const exact = { mode: "exact" };
const probe = { mode: "probes", kind: "rademacher", count: 1 };
/** Networks and modes, the most important first; `more` asks for tilings beyond the library's candidates. */
const questions = [
  { name: "2→64×3", velocity: three(2, 64), mode: { mode: "none" }, more: true, quick: true },
  { name: "2→128×3", velocity: three(2, 128), mode: { mode: "none" }, more: true, quick: true },
  { name: "2→64×3", velocity: three(2, 64), mode: exact, more: true, quick: true },
  { name: "16→64×3", velocity: three(16, 64), mode: probe },
  { name: "2→128×3", velocity: three(2, 128), mode: exact },
  { name: "2→256×3", velocity: three(2, 256), mode: { mode: "none" } },
  { name: "residual 64", velocity: residualMlp({ dim: 2, width: 64, blocks: 2 }), mode: { mode: "none" } },
];
const asked = args.tiny
  ? [
      { name: "2→16×2", velocity: mlp({ dim: 2, hidden: [16, 16] }), mode: { mode: "none" }, more: true },
      { name: "2→16×2", velocity: mlp({ dim: 2, hidden: [16, 16] }), mode: exact },
    ]
  : questions.filter(({ quick }) => quick || !args.quick);

const out = { kind: "tilings", questions: [], errors };
const write = () => save(args.out, out);

const show = (t) =>
  t.tile === undefined
    ? `${t.lanes}×${t.groups}×${t.outputs} ${t.keep} ${t.space} workgroup ${t.workgroupSize}${t.gather ? ` gather ${t.gather}` : ""}`
    : `tile ${t.tile} ${t.lanes}×${t.outputs} unroll ${t.unroll} workgroup ${t.workgroupSize}${t.wave === undefined ? "" : ` wave ${t.wave}`}`;

/** What the library keeps, in the file where the later phases find it. */
const kept = userStore({ platform: process.platform, environment: process.env });
let onKept = () => {};
const store = {
  get: (key) => kept.get(key),
  async set(key, value) {
    await kept.set(key, value);
    onKept(value);
  },
};
const gpu = await openGpu({ adapter: await findAdapter(), tune: { store } });
gpu.current.profile.tuning.measure = true;
out.adapter = { ...gpu.info };
// a trial on an adapter in software goes through what a GPU would
if (args.tiny && !process.env.KIT_SOFTWARE_TILINGS)
  Object.defineProperty(gpu, "info", { value: { ...gpu.info, software: false } });
const { device } = gpu;

/** What the library asks its tuner when it plans a solve of this network; undefined where it has one tiling alone. */
async function questionOf(velocity, mode) {
  const network = networkOf(velocity);
  const tilings = tilingsOf(gpu);
  let question;
  tilings.choose = (own) => {
    question = own;
    return own.fixed;
  };
  try {
    const engine = await networkEngines(gpu, velocity, { count: network.parameterCount }).forward("f32");
    const chunk = { start: 0, count: 64, capacity: 64, maxFlops: 1e12 };
    const integration = integrationOf(timeGrid("the kit", { method: "midpoint", steps: 10 }, 0, 1), mode);
    engine.integrate(chunk, {}, integration, 0, 10);
  } finally {
    delete tilings.choose;
  }
  return question;
}

/** Tiles beyond the library's candidates. */
function furtherTilings({ shape: { field, divergence }, fixed }) {
  if (fixed.tile === undefined || field.kind !== "network") return [];
  const products = field.network.program(true).steps.filter(({ kind }) => kind === "linear");
  const widest = Math.max(...products.map(({ width }) => width));
  const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupStorageSize: bytes } = device.limits;
  const found = [];
  for (const columns of [32, 16, 8])
    for (const lanes of [1, 2, 4])
      for (const outputs of [4, 8, 16])
        for (const unroll of [1, 2, 4])
          for (const wave of fixed.wave === undefined ? [undefined] : [undefined, fixed.wave]) {
            const workgroupSize = columns * Math.ceil(widest / outputs);
            const tiling = { ...fixed, lanes, outputs, unroll, workgroupSize, tile: columns * lanes };
            if (wave === undefined) delete tiling.wave;
            else if (columns * lanes !== fixed.tile && columns !== fixed.tile / fixed.lanes) continue;
            if (outputs / 4 > widest || workgroupSize > most || workgroupSize < 32) continue;
            if (tiling.tile * tileOf(field.network, tiling, true, divergence).bytes <= bytes) found.push(tiling);
          }
  return found;
}

/** Compiled side by side, as many as there are cores for: seconds of each, or why it cannot be. */
async function compileAll({ kernelOf }, tilings, until) {
  const compiled = new Map();
  const waiting = [...tilings];
  const worker = async () => {
    for (let tiling = waiting.shift(); tiling; tiling = waiting.shift()) {
      const start = elapsed();
      const kernel = kernelOf(tiling);
      const how = await budgeted(gpu.current.pipelines.compile(kernel), Math.min(20, until - elapsed()));
      compiled.set(tiling, {
        compile: elapsed() - start,
        characters: kernel.code.length,
        ...(how.fault && { fault: how.fault }),
      });
    }
  };
  await Promise.all(Array.from({ length: args.compilers ?? 6 }, worker));
  return compiled;
}

/** The bits of two results beside each other. */
function compare(got, wanted) {
  const [a, b] = [new Float32Array(got.buffer), new Float32Array(wanted.buffer)];
  let [worst, differ] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    if (got[i] !== wanted[i]) differ++;
    worst = Math.max(worst, Math.abs(a[i] - b[i]) / (1 + Math.abs(b[i])));
  }
  return { sameBits: differ === 0, ...(differ > 0 && { worst, differ: differ / b.length }) };
}

/** Times one tiling on a trial that has been warmed. */
async function timeTiling(trial, tiling, wanted) {
  let [onGpu, wall] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < (args.tiny ? 1 : 3); i++) {
    let seconds = 0;
    const { busy } = await trace(device, async () => {
      seconds = await trial.time(tiling);
    });
    wall = Math.min(wall, seconds);
    onGpu = Math.min(onGpu, busy > 0 ? busy : seconds);
    if (seconds > 1) break;
  }
  return { seconds: wall, gpuSeconds: onGpu, ...compare(await trial.result(), wanted) };
}

async function answer({ name, velocity, mode, more }, budget) {
  const until = elapsed() + Math.min(budget, left());
  const entry = { net: name, mode: mode.mode, rows: [] };
  out.questions.push(entry);
  const question = await questionOf(velocity, mode);
  if (!question) {
    entry.skipped = "the library has one tiling for it on this device";
    return;
  }
  const key = "the kit";
  const choice = choiceOf(gpu, question, key, modeOf(question));
  const own = question.candidates(candidateTilings);
  const extras = (more ? furtherTilings(question) : []).filter((t) => !own.some((other) => sameTiling(other, t)));
  const tilings = [...own, ...extras.slice(0, args.tiny ? 4 : undefined)];
  const kernelOf = (tiling) => question.integrator({ ...question.shape, tiling });
  const [fixed] = tilings;
  Object.assign(entry, { fixed: show(fixed), flopsPerStep: question.flopsPerStep });
  const start = elapsed();
  await gpu.current.pipelines.compile(kernelOf(fixed));
  entry.firstCompile = elapsed() - start;
  const compiled = await compileAll({ kernelOf }, tilings, until);

  // as long as 20 ms by the fixed choice, as the library's own search has it
  const target = args.tiny ? 0.005 : 0.02;
  let trial = choice.trial();
  const { profile } = gpu.current;
  const before = profile.speed;
  try {
    await trial.warm(fixed);
    await trial.time(fixed);
    const first = await trial.time(fixed);
    trial.dispose();
    // the size follows from a speed that is known only now
    profile.speed = Math.max(before, (before * target) / Math.max(1e-5, first));
    trial = choice.trial();
    await trial.warm(fixed);
    for (let i = 0; i < 4; i++) {
      const seconds = await trial.time(fixed);
      if ((seconds > 0.7 * target && seconds < 3 * target) || !trial.stretch(target / Math.max(1e-4, seconds))) break;
    }
    await trial.time(fixed);
    const wanted = await trial.result();
    entry.trial = trial.size;
    const work = question.flopsPerStep * trial.size.particles * trial.size.steps;
    // the library's search, at the end, needs time, too
    const reserve = 1 + Math.min(8, 0.3 * budget);
    for (const tiling of tilings) {
      const row = { tiling: show(tiling), library: own.includes(tiling), ...compiled.get(tiling) };
      entry.rows.push(row);
      if (!row.fault && until - elapsed() < reserve) row.fault = "no time left";
      if (row.fault) continue;
      const warmed = await budgeted(trial.warm(tiling), 15);
      if (warmed.fault) row.fault = warmed.fault;
      else {
        const timed = await budgeted(timeTiling(trial, tiling, wanted), 30);
        Object.assign(row, timed.fault ? { fault: timed.fault } : timed.value);
        if (row.gpuSeconds > 0) row.tflops = work / row.gpuSeconds / 1e12;
      }
      write();
    }
  } finally {
    trial.dispose();
    profile.speed = before;
  }
  const good = entry.rows.filter(({ tflops }) => tflops > 0).sort((a, b) => b.tflops - a.tflops);
  entry.fixedTflops = entry.rows[0].tflops;
  entry.differentBits = good.filter(({ sameBits }) => !sameBits).length;
  log(
    `${name} ${mode.mode}: fixed [${entry.fixed}] ${entry.fixedTflops?.toFixed(3)} TFLOP/s, best [${good[0]?.tiling}] ${good[0]?.tflops.toFixed(3)}; ${entry.differentBits} of ${good.length} with other bits`,
  );
  if (until - elapsed() > 2) entry.search = await searchOfTheLibrary(velocity, mode, Math.min(20, until - elapsed()));
}

/** The library's own search, as a user's first call starts it. */
async function searchOfTheLibrary(velocity, mode, seconds) {
  const start = elapsed();
  const chosen = new Promise((resolve) => {
    onKept = resolve;
  });
  const flow = Flow.create(gpu, { velocity, seed: 1 });
  const solver = { method: "midpoint", steps: 10 };
  const n = args.tiny ? 2048 : 1 << 18;
  const divergence = mode.mode === "exact" ? "exact" : { probe: "rademacher", probes: 1 };
  const call = async () => {
    if (mode.mode === "none") {
      const result = await flow.sample(n, { solver, output: "gpu" });
      for (const value of Object.values(result)) if (value instanceof globalThis.GPUBuffer) value.destroy();
    } else await flow.logProb(new Float32Array(n * flow.dim).fill(0.3), { solver, divergence });
    return chosen;
  };
  try {
    const { fault, value } = await budgeted(call(), seconds);
    if (fault) return { fault };
    const choices = Object.values(JSON.parse(value)).map(({ tiling }) => show(tiling));
    return { seconds: elapsed() - start, chosen: choices.at(-1) };
  } finally {
    flow.dispose();
  }
}

for (const [i, question] of asked.entries()) {
  if (left() < 4) {
    out.questions.push({ net: question.name, mode: question.mode.mode, skipped: "no time left" });
    continue;
  }
  // each may take a fair part of what is left, the first ones more
  const share = (left() / (asked.length - i)) * (question.more ? 1.6 : 1.1);
  try {
    await answer(question, Math.max(6, share));
  } catch (error) {
    log(`${question.name} ${question.mode.mode} FAILED: ${error.message}`);
    out.questions.push({ net: question.name, mode: question.mode.mode, failed: String(error.stack) });
  }
  write();
}
write();
gpu.dispose();
end();
