import { invalid } from "../errors.ts";
import { Gpu } from "../gpu/gpu.ts";
import { checked, later, type Schema } from "../options/schema.ts";
import { checkWord, show } from "../options.ts";
import { type AdapterOptions, adapterFields } from "../spread/spread-calls.ts";
import type { ThreadGpuOptions } from "./messages.ts";

/** `"thread"`, a device of this thread that stays its owner's, or a function that opens one, which goes with the workers. */
export type WorkerPlace = "thread" | Gpu | (() => Promise<Gpu>);

export interface WorkersOptions extends AdapterOptions {
  /**
   * A number of threads, each of which opens a device of its own; or a list of workers: `"thread"`, devices of this thread (what
   * {@link openGpu} resolved to; `close` leaves them alone), functions that open one (which `close` disposes of).
   */
  workers: number | readonly WorkerPlace[];
  /** How threads open their devices: what of {@link openGpu}'s options can travel. */
  gpu?: ThreadGpuOptions;
  /**
   * The script of the threads, where a bundler has moved it: a copy of `pushforward-thread.min.js` (pages; it needs no other file),
   * `thread-deno.js` or `thread-node.js` in the package's `dist`. Relative to the page, or to Node's working folder; Deno takes whole
   * addresses. Default: the one beside this module.
   */
  script?: string | URL;
}

const most = 256;

/** What of openGpu's options goes to threads. They check the values when they open their devices. */
const threadFields = {
  powerPreference: { check: later<NonNullable<ThreadGpuOptions["powerPreference"]>> },
  software: { check: later<NonNullable<ThreadGpuOptions["software"]>> },
  memoryBudget: { check: later<number> },
  tune: {
    check(name, value) {
      if (typeof value === "boolean") return value;
      throw invalid(`${name} is ${show(value)}, but a store cannot go to a thread: pass true or false`);
    },
  },
} satisfies Schema<ThreadGpuOptions>;

const workersFields = {
  workers: { check: checkPlaces, required: true },
  gpu: {
    check: (name, value) => checked(name, threadFields, value as ThreadGpuOptions, `${name}.`),
    fallback: {},
  },
  script: {
    check(name, value) {
      if (typeof value === "string" || value instanceof URL) return value;
      throw invalid(`${name} is ${show(value)}, but it is the address of a script: pass a string or a URL`);
    },
  },
  ...adapterFields,
} satisfies Schema<WorkersOptions>;

/** Options that can be opened by: `workers` is who, in order. */
export const checkWorkersOptions = (options: WorkersOptions) => checked("openWorkers", workersFields, options);

function checkPlaces(name: string, workers: unknown): readonly WorkerPlace[] {
  if (typeof workers === "number" && Number.isSafeInteger(workers) && workers >= 1 && workers <= most)
    return Array.from({ length: workers }, () => "thread" as const);
  if (!Array.isArray(workers) || workers.length === 0 || workers.length > most)
    throw invalid(
      `${name} is ${show(workers)}, but it is a number of threads from 1 to ${most}, or a list of devices, of functions that open one, or of "thread"s, as in workers: 2 or workers: [await openGpu(), "thread"]`,
    );
  for (const [i, place] of workers.entries()) checkPlace(`${name}[${i}]`, place);
  return workers;
}

function checkPlace(what: string, place: unknown): void {
  if (typeof place === "string") checkWord(what, place, ["thread"]);
  else if (!(place instanceof Gpu) && typeof place !== "function")
    throw invalid(
      `${what} is ${show(place)}, but it is what openGpu() resolved to, a function that opens a device, or "thread"`,
    );
}
