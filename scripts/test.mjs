// npm test: sets up what is missing, then runs every check there is, also after one has failed.
// Static imports are built-ins only: on a fresh clone the packages come with the first step.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const require = createRequire(import.meta.url);
const cache = join(root, ".cache");

/** @type {{ line: string, passed: number, failed: string[] }[]} */
const summary = [];

function note(line, passed, failed) {
  summary.push({ line, passed, failed });
  console.log(`${failed.length === 0 ? "✓" : "✗"} ${line}`);
}

/** Runs a Node script in the checkout; its output is shown when it fails, or at once when `isShown`. */
function runScript(path, args, { isShown = false, timeoutSeconds = 900 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path, ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * timeoutSeconds);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        output += text;
        if (isShown) process.stdout.write(text);
      });
    }
    child.once("error", (error) => {
      output += `${error.message}\n`;
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0 && !isShown) process.stdout.write(output);
      if (signal) console.log(`  ended by ${signal}`);
      resolve(code === 0);
    });
  });
}

/** A step that is one check: it passes or it fails. */
async function step(name, path, args = [], options = {}) {
  const start = performance.now();
  const isPassed = await runScript(path, args, options);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  note(`${name}: ${isPassed ? "passed" : "failed"} in ${seconds} s`, isPassed ? 1 : 0, isPassed ? [] : [name]);
  return isPassed;
}

async function unitTests() {
  const report = join(cache, "unit-tests.json");
  mkdirSync(cache, { recursive: true });
  rmSync(report, { force: true });
  const start = performance.now();
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const isPassed = await runScript(vitest, [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  try {
    const { numPassedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
    const failed = testResults.flatMap(({ name, status, assertionResults }) => {
      const tests = assertionResults.filter((test) => test.status === "failed").map((test) => test.fullName);
      // A file that could not be loaded has no tests to fail.
      return status === "failed" && tests.length === 0 ? [name] : tests;
    });
    if (!isPassed && failed.length === 0) failed.push("vitest ended with an error outside of the tests");
    note(`unit tests: ${numPassedTests} passed, ${failed.length} failed in ${seconds} s`, numPassedTests, failed);
  } catch (error) {
    note(`unit tests: no report after ${seconds} s (${error.message})`, 0, ["unit tests"]);
  }
}

/** Steps that give results of many tests; whatever goes wrong around them is one failure more. */
async function suites(name, work) {
  try {
    const { describeResult } = await import("../test/homes/run-suite.mjs");
    for (const result of await work()) {
      const failed = result.failed.map((test) => `${result.label} > ${test.name}`);
      if (result.passed + failed.length === 0) failed.push(`${result.label}: nothing was run`);
      note(describeResult(result), result.passed, failed);
    }
  } catch (error) {
    note(`${name}: ${error.message}`, 0, [name]);
  }
}

async function gpuSuites(bundle) {
  const { runSuite } = await import("../test/homes/run-suite.mjs");
  const { homes } = await import("../test/homes/locations.mjs");
  const results = [];
  // One after another: a software adapter uses every core.
  for (const home of homes) results.push(await runSuite(home, bundle));
  return results;
}

function finish() {
  const failed = summary.flatMap((entry) => entry.failed);
  const passed = summary.reduce((sum, entry) => sum + entry.passed, 0);
  console.log("\nSummary");
  for (const { line, failed: failures } of summary) console.log(`  ${failures.length === 0 ? "✓" : "✗"} ${line}`);
  if (failed.length > 0) console.log(`\nFailed\n${failed.map((name) => `  ✗ ${name}`).join("\n")}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
  console.log(`\n${passed} passed, ${failed.length} failed`);
}

await step("set-up", join(root, "scripts", "setup.mjs"), [], { isShown: true });
// A set-up that found no adapter leaves much to check; one without packages leaves nothing.
if (existsSync(join(root, "node_modules", "esbuild"))) {
  const isBuilt = await step("build", join(root, "scripts", "build.mjs"));
  await step("biome", require.resolve("@biomejs/biome/bin/biome"), ["check", "--max-diagnostics=100", "."]);
  await step("types", require.resolve("typescript/bin/tsc"), ["--noEmit"]);
  await unitTests();
  await suites("shaders", async () => {
    const { bundleShaders } = await import("../test/homes/bundle.mjs");
    const { runShaderTests } = await import("../test/shaders/run.mjs");
    return runShaderTests(await bundleShaders());
  });
  if (isBuilt) {
    await suites("GPU suite", async () => {
      const { bundleSuite } = await import("../test/homes/bundle.mjs");
      return gpuSuites(await bundleSuite());
    });
    const soak = [join(root, "bench", "soak.mjs"), "--minutes", "0.3"];
    await step("soak, a third of a minute", join(root, "scripts", "run.mjs"), soak);
    const faults = [join(root, "test", "faults", "run.mjs")];
    await step("faults in Chrome, whose GPU process is crashed", join(root, "scripts", "run.mjs"), faults);
    const cluster = [join(root, "test", "cluster", "run.mjs")];
    await step("cluster on a Redis, with workers killed", join(root, "scripts", "run.mjs"), cluster);
    await suites("package", async () => {
      const { runPackageTests } = await import("../test/package/run.mjs");
      return [await runPackageTests()];
    });
  } else {
    note("GPU suite, cluster and package: not run, as the build failed", 0, ["GPU suite", "cluster", "package"]);
  }
} else {
  console.log("Nothing else can be run without the packages: the message of the set-up says what to do.");
}
finish();
