import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** Tests that take longer are named at the end, as far as there is room for them. */
const slowSeconds = 4;
const slowest = 12;

/** How a word is given to a shell. */
const quoted = (text) => (/^[\w:.,/-]+$/.test(text) ? text : `"${text.replace(/(["\\$`])/g, "\\$1")}"`);

/** Runs the steps of `npm test`, and keeps and prints what came of them. */
export class Report {
  #root;
  /** @type {{ line: string, passed: number, failed: string[] }[]} */
  #entries = [];
  /** @type {{ name: string, seconds: number }[]} */
  #steps = [];
  /** @type {Map<string, Map<string, number>>} seconds of each home by file of the suite */
  #files = new Map();
  /** @type {{ name: string, seconds: number }[]} */
  #tests = [];
  #started = performance.now();

  /** @param {string} root the checkout */
  constructor(root) {
    this.#root = root;
  }

  note(line, passed, failed) {
    this.#entries.push({ line, passed, failed });
    console.log(`${failed.length === 0 ? "✓" : "✗"} ${line}`);
  }

  /** A step that is one check: it passes or it fails. */
  async check(name, path, args = [], options = {}) {
    const { isPassed, seconds } = await this.#timed(name, () => runScript(this.#root, path, args, options));
    const alone = isPassed || name === "set-up" || name === "build" ? "" : `\n    alone: npm test -- --only ${name}`;
    this.note(
      `${name}: ${isPassed ? "passed" : "failed"} in ${seconds} s${alone}`,
      isPassed ? 1 : 0,
      isPassed ? [] : [name],
    );
    return isPassed;
  }

  async #timed(name, work) {
    const start = performance.now();
    const isPassed = await work();
    const seconds = (performance.now() - start) / 1000;
    this.#steps.push({ name, seconds });
    return { isPassed, seconds: seconds.toFixed(1) };
  }

  async unitTests({ filter }) {
    const cache = join(this.#root, ".cache");
    const file = join(cache, "unit-tests.json");
    mkdirSync(cache, { recursive: true });
    rmSync(file, { force: true });
    const args = ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
    if (filter !== "") args.push("-t", filter.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const vitest = join(this.#root, "node_modules", "vitest", "vitest.mjs");
    const { isPassed, seconds } = await this.#timed("unit", () => runScript(this.#root, vitest, args));
    try {
      const { numPassedTests, testResults } = JSON.parse(readFileSync(file, "utf8"));
      const failed = testResults.flatMap(({ name, status, assertionResults }) => {
        const tests = assertionResults.filter((test) => test.status === "failed").map((test) => test.fullName);
        for (const test of tests) console.log(`    alone: npm test -- --only unit --filter ${quoted(test)}`);
        // A file that could not be loaded has no tests to fail.
        return status === "failed" && tests.length === 0 ? [name] : tests;
      });
      if (!isPassed && failed.length === 0) failed.push("vitest ended with an error outside of the tests");
      this.note(`unit: ${numPassedTests} passed, ${failed.length} failed in ${seconds} s`, numPassedTests, failed);
    } catch (error) {
      this.note(`unit: no report after ${seconds} s (${error.message})`, 0, ["unit"]);
    }
  }

  async shaders({ filter, isFull }) {
    await this.#suites("shaders", async (rerun) => {
      const { bundleShaders } = await import("../test/homes/bundle.mjs");
      const { runShaderTests } = await import("../test/shaders/run.mjs");
      return runShaderTests(await bundleShaders(), { filter, isFull, rerun: () => rerun });
    });
  }

  /** The suite in one of the homes, of which those run that were chosen. */
  async gpuSuite({ filter, isFull, homes }, home) {
    if (!homes.includes(home)) return;
    const { runSuite } = await import("../test/homes/run-suite.mjs");
    const { bundleSuite } = await import("../test/homes/bundle.mjs");
    await this.#suites(`gpu in ${home}`, async (rerun) => {
      this.suite ??= bundleSuite();
      const alone = (name) => `${rerun} --home ${home} --filter ${quoted(name)}`;
      return [await runSuite(home, await this.suite, { filter, isFull, rerun: alone })];
    });
  }

  async packageTests() {
    await this.#suites("package", async () => {
      const { runPackageTests } = await import("../test/package/run.mjs");
      return [await runPackageTests()];
    });
  }

  /** Steps that give results of many tests; whatever goes wrong around them is one failure more. */
  async #suites(name, work) {
    const start = performance.now();
    try {
      const { describeResult } = await import("../test/homes/run-suite.mjs");
      for (const result of await work(`npm test -- --only ${name.split(" ")[0]}`)) {
        const failed = result.failed.map((test) => `${result.label} > ${test.name}`);
        if (result.passed + failed.length === 0) failed.push(`${result.label}: nothing was run`);
        this.note(describeResult(result), result.passed, failed);
        this.#keepTimes(name, result);
      }
    } catch (error) {
      this.note(`${name}: ${error.message}`, 0, [name]);
    }
    this.#steps.push({ name, seconds: (performance.now() - start) / 1000 });
  }

  #keepTimes(step, { label, times }) {
    for (const { name, seconds } of times) {
      this.#tests.push({ name: `${label} > ${name}`, seconds });
      if (!step.startsWith("gpu")) continue;
      const file = name.slice(0, name.indexOf(": "));
      const homes = this.#files.get(file) ?? new Map();
      homes.set(label, (homes.get(label) ?? 0) + seconds);
      this.#files.set(file, homes);
    }
  }

  /** Prints where the time went and what failed; the exit code says whether something did. */
  finish() {
    const failed = this.#entries.flatMap((entry) => entry.failed);
    const passed = this.#entries.reduce((sum, entry) => sum + entry.passed, 0);
    this.#printTimes();
    console.log("\nSummary");
    for (const { line, failed: own } of this.#entries) console.log(`  ${own.length === 0 ? "✓" : "✗"} ${line}`);
    if (failed.length > 0) console.log(`\nFailed\n${failed.map((name) => `  ✗ ${name}`).join("\n")}`);
    process.exitCode = failed.length === 0 ? 0 : 1;
    const seconds = Math.round((performance.now() - this.#started) / 1000);
    console.log(`\n${passed} passed, ${failed.length} failed in ${Math.floor(seconds / 60)} min ${seconds % 60} s`);
  }

  #printTimes() {
    console.log("\nSeconds by step (some run beside each other)");
    for (const { name, seconds } of this.#steps) console.log(`  ${name.padEnd(24)} ${seconds.toFixed(1).padStart(7)}`);
    const homes = [...new Set([...this.#files.values()].flatMap((own) => [...own.keys()]))];
    if (homes.length > 0) {
      console.log(
        `\nSeconds of the GPU suite by file ${" ".repeat(2)}${homes.map((home) => home.padStart(8)).join("")}`,
      );
      const sum = (own) => [...own.values()].reduce((all, seconds) => all + seconds, 0);
      for (const [file, own] of [...this.#files].sort((a, b) => sum(b[1]) - sum(a[1]))) {
        const cells = homes.map((home) => (own.has(home) ? own.get(home).toFixed(1) : "").padStart(8));
        if (sum(own) >= 1) console.log(`  ${file.padEnd(32)}${cells.join("")}`);
      }
    }
    const slow = this.#tests.filter(({ seconds }) => seconds >= slowSeconds).sort((a, b) => b.seconds - a.seconds);
    if (slow.length > 0)
      console.log(
        `\nSlowest tests\n${slow
          .slice(0, slowest)
          .map(({ name, seconds }) => `  ${seconds.toFixed(1).padStart(6)} s  ${name}`)
          .join("\n")}`,
      );
  }
}

/** Runs a Node script in the checkout; its output is shown when it fails, or at once when `isShown`. */
function runScript(root, path, args, { isShown = false, timeoutSeconds = 900 } = {}) {
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
