// npm test: sets up what is missing, then runs every check there is, also after one has failed.
// Static imports are built-ins only: on a fresh clone the packages come with the first step.
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Report } from "./test-report.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const script = (...parts) => join(root, ...parts);

const help = `npm test [-- options]
  --only STEP       one of the steps below; may be given more than once
  --home HOME       of the GPU suite: node, chrome or deno; may be given more than once
  --filter TEXT     part of the names of the tests to run, of steps that have tests with names
  --full            all tests in every home, all shaders with every compiler, a longer soak (npm run test:full)
  --quick           types, lint, unit tests and a smoke of the GPU in Node (npm run test:quick)`;

/**
 * @typedef {object} Choice
 * @property {string} filter
 * @property {boolean} isFull
 * @property {readonly string[]} homes
 */

/**
 * The steps by name, in the order in which two lanes take them, since what compiles or type-checks uses one core: what tells most in
 * little time first, then what takes longest.
 * @type {{ name: string, needsBuild?: boolean, run: (report: Report, choice: Choice) => Promise<void> }[]}
 */
const steps = [
  { name: "unit", run: (report, choice) => report.unitTests(choice) },
  {
    name: "lint",
    run: (report) =>
      report.check("lint", packageScript("@biomejs/biome", "bin/biome"), ["check", "--max-diagnostics=100", "."]),
  },
  {
    name: "types",
    run: (report) => report.check("types", packageScript("typescript", "bin/tsc"), ["--noEmit"]),
  },
  { name: "shaders", run: (report, choice) => report.shaders(choice) },
  {
    name: "spills",
    run: (report) => report.check("spills", script("bench", "gpu-report.mjs"), ["--check"]),
  },
  ...["node", "deno", "chrome"].map((home) => ({
    name: "gpu",
    needsBuild: true,
    run: (report, choice) => report.gpuSuite(choice, home),
  })),
  {
    name: "faults",
    needsBuild: true,
    run: (report, { filter }) =>
      report.check("faults", script("scripts", "run.mjs"), [script("test", "faults", "run.mjs"), filter]),
  },
  { name: "package", needsBuild: true, run: (report) => report.packageTests() },
  {
    name: "site",
    needsBuild: true,
    run: (report, { isFull }) => report.check("site", script("test", "site", "run.mjs"), isFull ? ["--full"] : []),
  },
  {
    name: "docs",
    needsBuild: true,
    run: (report, { filter }) =>
      report.check("docs", script("scripts", "run.mjs"), [script("test", "docs", "run.mjs"), filter]),
  },
  {
    name: "cli",
    needsBuild: true,
    run: (report, { filter }) =>
      report.check("cli", script("scripts", "run.mjs"), [
        packageScript("vitest", "vitest.mjs"),
        "run",
        "--config",
        script("test", "cli", "vitest.config.ts"),
        ...(filter === "" ? [] : ["-t", filter, "--passWithNoTests"]),
      ]),
  },
  {
    name: "cluster",
    needsBuild: true,
    run: (report) => report.check("cluster", script("scripts", "run.mjs"), [script("test", "cluster", "run.mjs")]),
  },
  {
    name: "soak",
    needsBuild: true,
    run: (report, { isFull }) =>
      report.check("soak", script("scripts", "run.mjs"), [
        script("bench", "soak.mjs"),
        "--minutes",
        isFull ? "1" : "0.2",
      ]),
  },
];

const quickSteps = ["unit", "lint", "types", "gpu"];
/** Quick means one home, and of the suite what touches most of the library in the least time. */
const smoke = "flow: ";

function packageScript(name, path) {
  return join(root, "node_modules", ...name.split("/"), path);
}

function choose() {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true, default: [] },
      home: { type: "string", multiple: true, default: [] },
      filter: { type: "string", default: "" },
      full: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const names = [...new Set(steps.map(({ name }) => name))];
  if (values.help) {
    console.log(`${help}\nSteps: ${names.join(", ")}`);
    process.exit(0);
  }
  const only = values.only.flatMap((text) => text.split(","));
  const homes = values.home.flatMap((text) => text.split(","));
  for (const [option, given, known] of [
    ["--only", only, names],
    ["--home", homes, ["node", "chrome", "deno"]],
  ]) {
    const unknown = given.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new Error(`${option} is "${unknown}", but it is one of ${known.join(", ")}`);
  }
  if (homes.length > 0 && only.length === 0 && !values.quick) only.push("gpu");
  const isQuick = values.quick;
  return {
    steps: steps.filter(({ name }) =>
      only.length === 0 ? !isQuick || quickSteps.includes(name) : only.includes(name),
    ),
    filter: values.filter === "" && isQuick ? smoke : values.filter,
    isFull: values.full || (values.filter !== "" && !isQuick),
    homes: isQuick ? ["node"] : homes.length > 0 ? homes : ["node", "chrome", "deno"],
    isQuick,
  };
}

async function main() {
  const { steps: chosen, isQuick, ...choice } = choose();
  const report = new Report(root);
  await report.check("set-up", script("scripts", "setup.mjs"), [], { isShown: true });
  // A set-up that found no adapter leaves much to check; one without packages leaves nothing.
  if (!existsSync(script("node_modules", "esbuild"))) {
    console.log("Nothing else can be run without the packages: the message of the set-up says what to do.");
    report.finish();
    return;
  }
  const needsBuild = chosen.some((step) => step.needsBuild);
  const isBuilt = needsBuild && (await report.check("build", script("scripts", "build.mjs")));
  const choices = isQuick ? { unit: { ...choice, filter: "" } } : {};
  const waiting = [...chosen];
  const lane = async () => {
    for (let step = waiting.shift(); step; step = waiting.shift()) {
      if (step.needsBuild && !isBuilt) report.note(`${step.name}: not run, as the build failed`, 0, [step.name]);
      else await step.run(report, choices[step.name] ?? choice);
    }
  };
  await Promise.all([lane(), lane()]);
  report.finish();
}

try {
  await main();
} catch (error) {
  console.error(`npm test: ${error.message}\n${help}`);
  process.exitCode = 2;
}
