// npm run bench -- [--home node|chrome|deno] [--suite name] [--quick] [--rivals [names]] [--json file] [--plot file.svg] [--readme]
// Measures in a home, prints a table, writes a report.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundleProgram } from "../test/homes/bundle.mjs";
import { homes } from "../test/homes/locations.mjs";
import { runInHome } from "../test/homes/run-in-home.mjs";
import { plotReport } from "./plot.mjs";
import { writeReadmeTable } from "./readme.mjs";
import { alignedTable, cells } from "./table.mjs";

const suiteNames = [
  "ceiling",
  "velocity",
  "sample",
  "scale",
  "divergence",
  "likelihood",
  "networks",
  "train",
  "training",
  "stream",
  "start-up",
];
const rivalNames = ["jax-js", "tfjs", "onnxruntime-web", "pytorch", "cpu"];
const root = fileURLToPath(new URL("..", import.meta.url));

function options() {
  const { values } = parseArgs({
    options: {
      home: { type: "string", default: "node" },
      suite: { type: "string", multiple: true, default: [] },
      quick: { type: "boolean", default: false },
      rivals: { type: "string" },
      json: { type: "string" },
      plot: { type: "string" },
      note: { type: "string", default: "" },
      readme: { type: "boolean", default: false },
    },
  });
  const oneOf = (what, value, known) => {
    if (!known.includes(value)) throw new Error(`${what} is "${value}", but it is one of ${known.join(", ")}`);
  };
  oneOf("--home", values.home, homes);
  const suites = values.suite.flatMap((list) => list.split(","));
  for (const suite of suites) oneOf("--suite", suite, suiteNames);
  const rivals =
    values.rivals === undefined
      ? []
      : values.rivals === "all"
        ? rivalNames.filter((name) => name !== "cpu")
        : values.rivals.split(",");
  for (const rival of rivals) oneOf("--rivals", rival, rivalNames);
  return { ...values, suites: suites.length > 0 ? suites : suiteNames, rivals };
}

/** The rivals' packages are not the project's own. */
async function prepareRivals(folder) {
  const { bundleRivals, installRivals } = await import("./rivals/bundle.mjs");
  installRivals();
  await bundleRivals(folder);
}

function commit() {
  try {
    const hash = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
    const isClean =
      execFileSync("git", ["status", "--porcelain", "--untracked-files=no"], { cwd: root, encoding: "utf8" }) === "";
    return isClean ? hash : `${hash} with changes`;
  } catch {
    return "unknown";
  }
}

/** Start-up needs a fresh process each time: median of a few. */
async function startUp(home, rounds, onFigure) {
  const bundle = await bundleProgram("start-up", `export { main } from "./bench/start-up.ts";`);
  /** @type {Record<string, number[]>} */
  const all = {};
  for (let round = 0; round < rounds; round++) {
    await runInHome(
      home,
      bundle,
      {},
      {
        onEvent: (event) => {
          for (const [name, seconds] of Object.entries(event.seconds)) {
            all[name] = [...(all[name] ?? []), 1000 * seconds];
          }
        },
      },
    );
  }
  for (const [work, values] of Object.entries(all)) {
    const sorted = values.sort((a, b) => a - b);
    const at = (q) => sorted[Math.round(q * (sorted.length - 1))];
    onFigure({
      suite: "start-up",
      work,
      contender: "pushforward",
      unit: "ms",
      median: at(0.5),
      low: at(0.25),
      high: at(0.75),
      rounds,
    });
  }
}

async function main() {
  // what a start takes is told as it is for somebody who has never run it: lavapipe keeps compiled kernels on disk
  process.env.MESA_SHADER_CACHE_DISABLE ??= "true";
  const o = options();
  const start = performance.now();
  const report = {
    schema: 1,
    date: new Date().toISOString(),
    commit: commit(),
    home: o.home,
    quick: o.quick,
    adapter: { vendor: "", architecture: "", description: "", software: false },
    note: o.note,
    versions: {
      pushforward: JSON.parse(await readFile(`${root}/package.json`, "utf8")).version,
      node: process.version,
    },
    figures: [],
    leftOut: [],
  };
  let suite = "";
  const onFigure = (figure) => {
    if (figure.suite !== suite) console.log(`\n${figure.suite}`);
    suite = figure.suite;
    report.figures.push(figure);
    console.log(`  ${cells(figure).filter(Boolean).join("  ")}`);
  };
  const onEvent = (event) => {
    if (event.type === "adapter") {
      const { vendor, architecture, description } = event.adapter;
      // a browser tells less than Dawn in Node
      const name = description || [vendor, architecture].filter(Boolean).join(" ");
      report.adapter = { ...event.adapter, description: name };
      console.log(`${o.home} on ${name}${event.adapter.software ? " (software)" : ""}`);
    } else if (event.type === "contender") report.versions[event.name] = event.version;
    else if (event.type === "figure") onFigure(event.figure);
    else if (event.type === "left out") {
      report.leftOut.push({ work: event.work, contender: event.contender, why: event.why });
      console.log(`  ${event.contender} is left out of ${event.work}: ${event.why}`);
    } else if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${event.text} …\r`);
  };

  const inHome = o.suites.filter((name) => name !== "start-up");
  if (inHome.length > 0) {
    const bundle = await bundleProgram("bench", `export { main } from "./bench/program.ts";`);
    if (o.rivals.length > 0) await prepareRivals(dirname(bundle));
    await runInHome(o.home, bundle, { home: o.home, suites: inHome, quick: o.quick, rivals: o.rivals }, { onEvent });
  }
  if (o.suites.includes("start-up")) await startUp(o.home, o.quick ? 2 : 5, onFigure);

  console.log(`\n${alignedTable(report.figures.map(cells))}`);
  console.log(
    `\n${report.figures.length} figures in ${((performance.now() - start) / 1000).toFixed(0)} s; all results agreed with f64.`,
  );
  if (o.home === "node")
    console.log(
      "In Node everybody sleeps over most of a run before asking for its end: a pending promise costs a core there.",
    );
  if (o.json) await writeFile(o.json, `${JSON.stringify(report, undefined, 1)}\n`);
  const svg = plotReport(report);
  if (o.plot && svg) await writeFile(o.plot, svg);
  else if (o.plot) console.log("Too little was measured for a plot: let the suite sample run.");
  if (o.readme) await writeReadmeTable(report);
}

if (!existsSync(`${root}/dist/index.js`))
  console.error("bench: the library is not built: npm run bench builds it first");
try {
  await main();
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
