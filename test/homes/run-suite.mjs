import { runInHome } from "./run-in-home.mjs";
import { toSourcePositions } from "./source-positions.mjs";

/** A home says when a test times out; this much later the host ends a home that does not. */
const graceSeconds = 30;
/** Opening the device, and what lies between two tests. */
const idleSeconds = 90;

/**
 * @typedef {object} HomeResult
 * @property {string} label
 * @property {string} adapter
 * @property {number} passed
 * @property {{ name: string, failures: { message: string, stack?: string }[] }[]} failed
 * @property {number} seconds
 * @property {{ name: string, seconds: number }[]} times of the tests, in their order
 */

/**
 * Runs a bundled suite in one home. A test that crashes or hangs the home fails, and the tests after it run in a new one.
 * @param {"node" | "chrome" | "deno"} home
 * @param {string} bundle
 * @param {{ filter?: string, isFull?: boolean, label?: string, args?: object, needsAdapter?: boolean, rerun?: (name: string) => string }} [options]
 *   `filter`: part of the names of the tests to run; `isFull`: also those that the home leaves to others; `label`: what the report calls
 *   the run, if not by its home; `args`: more for the program's `main`; `rerun`: the command that runs one test alone
 * @returns {Promise<HomeResult>}
 */
export async function runSuite(home, bundle, options = {}) {
  const { filter = "", isFull = filter !== "", label = home, args = {}, needsAdapter = true, rerun } = options;
  const start = performance.now();
  /** @type {string[]} */
  let names = [];
  let adapter = "";
  let next = 0;
  let passed = 0;
  /** @type {HomeResult["failed"]} */
  const failed = [];
  /** @type {HomeResult["times"]} */
  const times = [];
  let isComplete = false;
  while (!isComplete) {
    const watchdog = new Watchdog();
    let running = -1;
    const onEvent = (event) => {
      watchdog.restart(event.type === "started" ? event.timeoutSeconds + graceSeconds : idleSeconds);
      if (event.type === "tests") names = event.names;
      else if (event.type === "adapter") adapter = event.description;
      else if (event.type === "started") running = event.index;
      else {
        running = -1;
        next = event.index + 1;
        const name = names[event.index];
        times.push({ name, seconds: event.seconds });
        if (event.failures.length === 0) passed++;
        else fail(label, failed, name, event.failures, rerun);
      }
    };
    try {
      await runInHome(
        home,
        bundle,
        { ...args, home, filter, isFull, firstIndex: next },
        { onEvent, signal: watchdog.signal, needsAdapter },
      );
      isComplete = true;
    } catch (error) {
      const name = running < 0 ? "outside of a test" : names[running];
      fail(label, failed, name, [{ message: `the home did not survive: ${error.message}` }], rerun);
      // Between tests a new home would end the same way.
      if (running < 0) isComplete = true;
      next = running + 1;
    } finally {
      watchdog.stop();
    }
  }
  return { label, adapter, passed, failed, seconds: (performance.now() - start) / 1000, times };
}

class Watchdog {
  #controller = new AbortController();
  /** @type {NodeJS.Timeout | undefined} */
  #timer;

  constructor() {
    this.restart(idleSeconds);
  }

  get signal() {
    return this.#controller.signal;
  }

  restart(seconds) {
    clearTimeout(this.#timer);
    const error = new Error(`nothing was heard of it for ${seconds} s`);
    this.#timer = setTimeout(() => this.#controller.abort(error), 1000 * seconds);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** Notes and prints a failure as it comes: a long run is read while it goes on. */
function fail(label, failed, name, failures, rerun) {
  failed.push({ name, failures });
  console.log(`✗ ${label} > ${name}${rerun ? `\n    alone: ${rerun(name)}` : ""}`);
  for (const { message, stack } of failures) {
    console.log(`    ${message.replaceAll("\n", "\n    ")}`);
    if (stack) console.log(toSourcePositions(stack));
  }
}

/** @param {HomeResult} result */
export function describeResult({ label, adapter, passed, failed, seconds }) {
  return `${label}: ${passed} passed, ${failed.length} failed in ${seconds.toFixed(1)} s${adapter ? ` on ${adapter}` : ""}`;
}
