// npm run gpu-report -- [--check] [--catalogue] [--only TEXT]: what the compiler of real GPUs makes of our kernels, on a machine without one.
// Mesa's RADV compiles for any AMD GPU that it is told to pretend (RADV_FORCE_FAMILY); a Vulkan layer (gpu-report/null-gpu-layer.c)
// answers for what needs the hardware. Machine code, registers and spills are real; nothing is run, and results are zeros.
// Writes docs/gpu-report.md; --check writes nothing and fails where a default kernel spills. --catalogue takes every shader there is.
// --only prints the kernels of the kinds of work whose network and name have the text, with their listings, and writes nothing.
import { execFileSync, spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { below, goalsText } from "./gpu-report/goals.mjs";
import { hotLoops } from "./gpu-report/listing.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const own = join(root, "bench", "gpu-report");
const work = join(root, ".cache", "gpu-report");
const families = { navi31: "RDNA 3", navi21: "RDNA 2", vega10: "GCN 5" };
const drivers = "/usr/share/vulkan/icd.d";

/** What is missing on this machine, in words, or undefined. */
function missing() {
  const hasDriver = existsSync(drivers) && readdirSync(drivers).some((file) => file.startsWith("radeon_icd"));
  if (!hasDriver) return "RADV: apt-get install -t bookworm-backports mesa-vulkan-drivers";
  if (!isThere("gcc", ["--version"])) return "a C compiler: apt-get install gcc";
  if (!existsSync("/usr/include/vulkan/vk_layer.h")) return "the headers of Vulkan: apt-get install libvulkan-dev";
  return undefined;
}

function isThere(command, args) {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The environment in which WebGPU has a GPU of that family which is not there. */
function environment(family, stats, listings) {
  const library = join(work, "null-gpu-layer.so");
  const source = join(own, "null-gpu-layer.c");
  mkdirSync(work, { recursive: true });
  if (!existsSync(library) || statSync(source).mtimeMs > statSync(library).mtimeMs)
    execFileSync("gcc", ["-O1", "-Wall", "-shared", "-fPIC", "-o", library, source], { stdio: "inherit" });
  copyFileSync(join(own, "null-gpu-layer.json"), join(work, "null-gpu-layer.json"));
  const icd = join(drivers, readdirSync(drivers).find((file) => file.startsWith("radeon_icd")) ?? "");
  rmSync(listings, { recursive: true, force: true });
  mkdirSync(listings, { recursive: true });
  writeFileSync(stats, "");
  return {
    ...process.env,
    RADV_FORCE_FAMILY: family,
    VK_ICD_FILENAMES: icd,
    VK_DRIVER_FILES: icd,
    VK_LAYER_PATH: work,
    VK_INSTANCE_LAYERS: "VK_LAYER_null_gpu",
    MESA_SHADER_CACHE_DISABLE: "true",
    NULL_GPU_STATS: stats,
    NULL_GPU_ASM: listings,
  };
}

/** Compiles on one family, in a process of its own. */
async function compiledOn(bundle, family, what, only) {
  const stats = join(work, `${family}.jsonl`);
  const listings = join(work, `listings-${family}`);
  const program = `const { main } = await import(${JSON.stringify(pathToFileURL(bundle).href)});
await main(${JSON.stringify(what)}, ${JSON.stringify(only)}, (compiled) => console.log(JSON.stringify(compiled)));
process.exit(0);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    cwd: root,
    env: environment(family, stats, listings),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const read = (stream) => {
    let text = "";
    stream.setEncoding("utf8");
    stream.on("data", (part) => {
      text += part;
    });
    return () => text;
  };
  const [output, errors] = [read(child.stdout), read(child.stderr)];
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${family}: the compilation ended with ${code}\n${errors()}`);
  const told = output()
    .trim()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  const measured = readFileSync(stats, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  return told.map((kernel) => {
    const s = measured[kernel.index];
    if (!s) throw new Error(`${family}: nothing is known of "${kernel.label}"`);
    const number = String(kernel.index).padStart(3, "0");
    const name = readdirSync(listings).find((file) => file.startsWith(`${number}-`) && file.endsWith("Assembly.txt"));
    return {
      ...kernel,
      // without what the listings cost
      seconds: kernel.seconds - s.apart,
      listing: name && join(listings, name),
      registers: s.VGPRs,
      spills: s["Spilled VGPRs"] + s["Spilled SGPRs"],
      scratch: s["Scratch size"],
      waves: s["Subgroups per SIMD"],
      local: s["LDS size"],
      bytes: s["Code size"],
      ...(name ? hotLoops(join(listings, name)) : { loops: [] }),
    };
  });
}

function mesaVersion() {
  const packages = execFileSync("dpkg-query", ["-W", "mesa-vulkan-drivers"], { encoding: "utf8" });
  return packages.split("\t")[1]?.trim() ?? "of unknown version";
}

/** The kernels of one kind of work as one line: the worst of them, and the share of multiply-adds in what does most. */
function row(kernels) {
  // a family without matrices has no such work
  if (kernels.length === 0) return undefined;
  const worst = (key) => Math.max(...kernels.map((kernel) => kernel[key]));
  const main = kernels.reduce((most, kernel) => (kernel.share > most.share ? kernel : most));
  return {
    count: kernels.length,
    registers: main.registers,
    waves: main.waves,
    local: main.local,
    spills: worst("spills"),
    scratch: worst("scratch"),
    bytes: worst("bytes"),
    seconds: worst("seconds"),
    loops: main.loops,
  };
}

/** The least and the most of some figures, where these are not the same. */
function span(figures, text) {
  if (figures.length === 0) return "–";
  const [least, most] = [Math.min(...figures), Math.max(...figures)].map(text);
  return least === most ? least : `${least}–${most}`;
}

const cell = ({ count, registers, waves, local, spills, scratch, loops, seconds }) =>
  [
    registers,
    waves,
    `${(local / 1024).toFixed(0)} KiB`,
    span(
      loops.map(({ share100 }) => share100),
      String,
    ),
    span(
      loops.map(({ local }) => local),
      (numbers) => numbers.toFixed(2),
    ),
    `${seconds.toFixed(2)} s`,
    ...(count > 1 ? [`${count} kernels`] : []),
    ...(spills + scratch > 0 ? [`**${spills} spilled, ${(scratch / 1024).toFixed(0)} KiB scratch**`] : []),
  ].join(" · ");

/** What stays below the goals: a line for each kind of work, family and goal, of which those of the same figures are one. */
function belowLines(all, names) {
  const groups = new Map();
  for (const [network, work] of names)
    for (const [family, kernels] of Object.entries(all)) {
      const own = kernels.filter((kernel) => kernel.network === network && kernel.work === work);
      for (const { goal, got, limit } of below(own, family, work)) {
        const key = [families[family], goal, got, limit, network].join(" | ");
        groups.set(key, [...(groups.get(key) ?? []), work]);
      }
    }
  const lines = [...groups].map(([key, works]) => {
    const [family, goal, got, limit, network] = key.split(" | ");
    return `| ${network} | ${works.join("; ")} | ${family} | ${goal} | ${got} | ${limit} |`;
  });
  return ["| network | work | on | goal | there is | what limits |", "| --- | --- | --- | --- | --- | --- |", ...lines];
}

async function main() {
  const { values } = parseArgs({
    options: {
      check: { type: "boolean", default: false },
      catalogue: { type: "boolean", default: false },
      only: { type: "string", default: "" },
    },
  });
  const lacking = missing();
  if (lacking) {
    console.log(`gpu-report needs ${lacking}`);
    // a check where it cannot be made is left out; a report that was asked for is a failure
    process.exitCode = values.check ? 0 : 2;
    return;
  }
  mkdirSync(work, { recursive: true });
  const bundle = join(work, "program.mjs");
  await build({
    entryPoints: [join(own, "program.ts")],
    outfile: bundle,
    bundle: true,
    format: "esm",
    platform: "node",
    external: ["webgpu"],
    logLevel: "warning",
  });
  const what = values.catalogue ? "catalogue" : "defaults";
  const all = {};
  // a check is for every run of the tests: one family tells
  for (const family of Object.keys(families).slice(0, values.check ? 1 : undefined)) {
    all[family] = await compiledOn(bundle, family, what, values.only);
    console.log(`${family}: ${all[family].length} kernels compiled`);
  }
  if (Object.values(all).every((kernels) => kernels.length === 0)) {
    console.error(
      `gpu-report: no kernel has "${values.only}" in the names of its network and work; "mlp 3 × 64, sample, f16" names some`,
    );
    process.exitCode = 2;
    return;
  }
  if (values.only !== "") {
    for (const [family, kernels] of Object.entries(all))
      for (const kernel of kernels)
        console.log(
          `${family} · ${kernel.network}, ${kernel.work} · ${kernel.label}\n    ${cell({ ...kernel, count: 1 })} · ${(100 * kernel.share).toFixed(0)} % of the work · ${relative(root, kernel.listing ?? "")}`,
        );
    return;
  }
  const names = [...new Set(all.navi31.map(({ network, work }) => `${network}|${work}`))];
  const found = names.map((name) => ({
    name: name.split("|"),
    rows: Object.values(all).map((kernels) =>
      row(kernels.filter(({ network, work }) => `${network}|${work}` === name)),
    ),
  }));
  // RDNA 3 has matrices: without them a part of the library would go unseen
  if (!values.catalogue && !all.navi31.some(({ work }) => work.endsWith("by matrices"))) {
    console.error("gpu-report: no kernel by matrices was compiled for navi31, whose subgroups have them");
    process.exitCode = 1;
  }
  const bad = found.filter(({ rows }) => rows.some((row) => row && row.spills + row.scratch > 0));
  for (const { name, rows } of bad)
    console.log(
      `spills: ${name.filter(Boolean).join(", ")}: ${rows.map((r) => (r ? `${r.spills} registers, ${r.scratch} B` : "–")).join("; ")}`,
    );
  console.log(`${found.length - bad.length} of ${found.length} kinds of work without a spill`);
  if (values.check) {
    if (bad.length > 0) process.exitCode = 1;
    return;
  }
  if (values.catalogue) return;
  const mesa = mesaVersion();
  const lines = [
    "# What a GPU's compiler makes of our kernels",
    "",
    `\`npm run gpu-report\`, ${new Date().toISOString().slice(0, 10)}, Mesa ${mesa}: the compiler of AMD's GPUs (ACO, in RADV) on a machine without one. Registers, spills, occupancy and machine code are real; nothing was run. Each cell: vector registers of the kernel that does most · waves of a SIMD that fit · workgroup memory · multiply-adds among 100 vector instructions of its hottest loops, of products and of gradients of weights (on RDNA 3 two may be issued as one, so at most 200; in f16 two are one instruction everywhere) · numbers of workgroup memory that these read for each multiply-add · seconds of processor time to compile the slowest kernel. Spills and scratch memory would stand in bold.`,
    "",
    `| network | work | ${Object.entries(families)
      .map(([family, name]) => `${family} (${name})`)
      .join(" | ")} |`,
    `| --- | --- | ${Object.keys(families)
      .map(() => "---")
      .join(" | ")} |`,
    ...found.map(
      ({ name, rows }) => `| ${name[0]} | ${name[1]} | ${rows.map((row) => (row ? cell(row) : "–")).join(" | ")} |`,
    ),
    "",
    bad.length === 0
      ? "No kernel of these spills a register or has scratch memory."
      : `${bad.length} of ${found.length} kinds of work spill.`,
    "",
    goalsText,
    "",
    ...belowLines(
      all,
      found.map(({ name }) => name),
    ),
    "",
  ];
  writeFileSync(join(root, "docs", "gpu-report.md"), lines.join("\n"));
  console.log("written: docs/gpu-report.md");
}

await main();
