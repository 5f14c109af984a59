/**
 * Ours through Dawn against PyTorch on the same card: writes weights and checks, times our workloads, starts pytorch.py with
 * the same weights, and prints ratios: `npm run build && node scripts/run.mjs bench/cuda/run.mjs [--quick]`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { encodeSafetensors, openGpu } from "pushforward";
import { checksOf, createFlows, measure } from "./ours.mjs";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "7" },
    python: { type: "string", default: "python3" },
    out: { type: "string", default: fileURLToPath(new URL("../../out/cuda", import.meta.url)) },
    modes: { type: "string", multiple: true, default: [] },
  },
});
const here = fileURLToPath(new URL(".", import.meta.url));
const plan = JSON.parse(readFileSync(join(here, "workloads.json"), "utf8"));
const works = plan.workloads.filter(({ id }) => id.includes(values.only));
const rounds = values.quick ? 3 : Number(values.rounds);

/** Ours: weights and checks into the folder, then the figures. */
async function measureOurs() {
  const gpu = await openGpu();
  try {
    const flows = createFlows(gpu, plan.networks);
    for (const [name, flow] of Object.entries(flows))
      writeFileSync(join(values.out, `${name}.safetensors`), await flow.save());
    writeFileSync(join(values.out, "checks.safetensors"), encodeSafetensors(await checksOf(works, flows)));
    const results = [];
    for (const work of works) {
      const { n, times } = await measure(work, flows[work.network], { quick: values.quick, rounds });
      const sorted = [...times].sort((a, b) => a - b);
      const median = sorted[Math.floor(sorted.length / 2)];
      console.log(`${work.id}: ${(1000 * median).toFixed(3)} ms, ${(n / median).toPrecision(4)} particles/s`);
      results.push({
        id: work.id,
        contender: "pushforward",
        mode: "fused",
        precision: "fp32",
        n,
        seconds: { median, best: sorted[0], worst: sorted.at(-1) },
        particlesPerSecond: n / median,
        deviation: null,
      });
    }
    const date = new Date().toISOString().slice(0, 10);
    return { contender: "pushforward", device: gpu.info.description, date, quick: values.quick, results };
  } finally {
    gpu.dispose();
  }
}

/** PyTorch in a process of its own, after ours has let go of the card. */
function measurePyTorch() {
  const json = join(values.out, "pytorch.json");
  const args = [join(here, "pytorch.py"), "--folder", values.out, "--json", json, "--only", values.only];
  args.push("--rounds", String(rounds), ...(values.quick ? ["--quick"] : []));
  if (values.modes.length > 0) args.push("--modes", ...values.modes);
  // Never figures of an earlier run.
  rmSync(json, { force: true });
  const { status, error } = spawnSync(values.python, args, { stdio: "inherit" });
  if (error) throw new Error(`${values.python} cannot be started (${error.message}): name another one with --python`);
  // With status 1 it has left out what was wrong and said so; without a file it could not run at all.
  if (status !== 0) process.exitCode = 1;
  if (!existsSync(json)) throw new Error("PyTorch gave no figures: see its message above");
  return JSON.parse(readFileSync(json, "utf8"));
}

function printRatios(ours, theirs) {
  console.log(`\nours on ${ours.device}\nPyTorch ${theirs.version} on ${theirs.device}\n`);
  console.log("| work | ours, particles/s | PyTorch | precision | particles/s | ours / PyTorch |");
  console.log("| --- | ---: | --- | --- | ---: | ---: |");
  for (const { id, mode, precision, particlesPerSecond } of theirs.results) {
    const own = ours.results.find((result) => result.id === id)?.particlesPerSecond;
    const cells = [own.toPrecision(3), mode, precision, particlesPerSecond.toPrecision(3)];
    console.log(`| ${[id, ...cells, (own / particlesPerSecond).toFixed(2)].join(" | ")} |`);
  }
}

try {
  mkdirSync(values.out, { recursive: true });
  const ours = await measureOurs();
  writeFileSync(join(values.out, "pushforward.json"), `${JSON.stringify(ours, null, 2)}\n`);
  printRatios(ours, measurePyTorch());
} catch (error) {
  console.error(`bench/cuda: ${error.message}`);
  process.exitCode = 1;
}
