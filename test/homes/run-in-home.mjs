import { runInChild } from "./child-home.mjs";
import { runInChrome } from "./chrome-home.mjs";

/**
 * @typedef {object} HomeRun
 * @property {string} bundle path of a bundle made by `bundleProgram`
 * @property {object} args first argument of the program's `main`; plain JSON
 * @property {(event: any) => void} onEvent gets what the program emits
 * @property {AbortSignal} signal ends the program
 * @property {boolean} needsAdapter whether the program computes; compiling with Tint needs none
 */

/**
 * Runs a bundled program in a home against the built package; resolves when its `main` is through.
 * @param {"node" | "chrome" | "deno"} home
 * @param {string} bundle
 * @param {object} args
 * @param {{ onEvent?: (event: any) => void, signal?: AbortSignal, needsAdapter?: boolean }} [options]
 */
export async function runInHome(home, bundle, args, options = {}) {
  const { onEvent = () => {}, signal = new AbortController().signal, needsAdapter = true } = options;
  signal.throwIfAborted();
  const run = { bundle, args, onEvent, signal, needsAdapter };
  await (home === "chrome" ? runInChrome(run) : runInChild(home, run));
}
