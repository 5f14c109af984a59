// biome-ignore lint/correctness/noNodejsModules: only Node loads this file
import process from "node:process";
import { PushforwardError } from "../errors.ts";
import { userStore } from "./cache-folder.ts";
import type { TextStore } from "./store.ts";

let instance: Promise<GPU> | undefined;

async function load(): Promise<GPU> {
  let dawn: typeof import("webgpu");
  try {
    dawn = await import("webgpu");
  } catch (cause) {
    throw new PushforwardError(
      "no-adapter",
      "Node has no WebGPU of its own and the optional package `webgpu` (Dawn) cannot be loaded: run `npm install webgpu`",
      { cause },
    );
  }
  Object.assign(globalThis, dawn.globals);
  return dawn.create([]);
}

/** Node: Dawn through the optional peer dependency `webgpu`. The instance must outlive its devices, so it is kept. */
export function provideGpu(): Promise<GPU> {
  instance ??= load().catch((error: unknown) => {
    instance = undefined;
    throw error;
  });
  return instance;
}

/** The binding polls on the main thread while a promise is pending, which costs a core: sleep before asking. */
export const waitingSpins = true;

export { waitingBlocks } from "./waiting.ts";

/** The promises that are waited for now, each with the time since when; the youngest comes last. */
const waits = new Map<Promise<unknown>, number>();
const nobody = new Int32Array(new SharedArrayBuffer(4));
let rests = false;

function rest(): void {
  const youngest = [...waits.values()].at(-1);
  rests = youngest !== undefined;
  if (youngest === undefined) return;
  const milliseconds = Math.min(1, 0.03 * (performance.now() - youngest));
  if (milliseconds > 0.05) Atomics.wait(nobody, 0, 0, milliseconds);
  setImmediate(rest).unref();
}

/**
 * Waits for a promise of the device that may take long, such as a compilation. While one is pending, the binding asks the device in
 * every turn of the event loop, which takes a core, and locks, from those who work on the answer. So each turn rests for 3 % of what
 * has been waited, 1 ms at most.
 */
export async function patiently<T>(promise: Promise<T>): Promise<T> {
  waits.set(promise, performance.now());
  if (!rests) {
    rests = true;
    // what never answers shall not keep a program that has nothing else to do
    setImmediate(rest).unref();
  }
  try {
    return await promise;
  } finally {
    waits.delete(promise);
  }
}

/** Counts the turns of the event loop from now on; their number ends the count. */
export function countTurns(): () => number {
  let turns = 0;
  const turn = () => {
    turns++;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  return () => {
    clearImmediate(next);
    return turns;
  };
}

/** Tuned choices are kept in the user's cache folder. */
export function defaultStore(): TextStore {
  return userStore({ platform: process.platform, environment: process.env });
}

/** Resolves after a while; a program that has nothing else to do ends meanwhile. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}

/** A lost device may be collected. */
export const keepLost = (_device: GPUDevice): void => undefined;
