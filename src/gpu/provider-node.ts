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
