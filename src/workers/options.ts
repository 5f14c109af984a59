import { invalid } from "../errors.ts";
import { Gpu } from "../gpu/gpu.ts";
import { checkKeys, checkWord, show } from "../options.ts";
import type { AdapterOptions } from "../spread/spread-calls.ts";
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

/** Who is to be opened, in order. Throws for options that cannot be. */
export function checkWorkersOptions(options: WorkersOptions): readonly WorkerPlace[] {
  const what = "openWorkers";
  checkKeys(what, options, ["workers", "gpu", "script", "sameAdapter", "onNotice"]);
  const { workers, gpu = {}, script, sameAdapter, onNotice } = options;
  checkKeys(`${what}: gpu`, gpu, ["powerPreference", "software", "memoryBudget", "tune"]);
  if (gpu.tune !== undefined && typeof gpu.tune !== "boolean")
    throw invalid(`${what}: gpu.tune is ${show(gpu.tune)}, but a store cannot go to a thread: pass true or false`);
  if (script !== undefined && typeof script !== "string" && !(script instanceof URL))
    throw invalid(`${what}: script is ${show(script)}, but it is the address of a script: pass a string or a URL`);
  if (sameAdapter !== undefined && typeof sameAdapter !== "boolean")
    throw invalid(`${what}: sameAdapter is ${show(sameAdapter)}, but it is true or false`);
  if (onNotice !== undefined && typeof onNotice !== "function")
    throw invalid(`${what}: onNotice is ${show(onNotice)}, but it is a function that takes a text`);
  if (typeof workers === "number" && Number.isSafeInteger(workers) && workers >= 1 && workers <= most)
    return Array.from({ length: workers }, () => "thread" as const);
  if (!Array.isArray(workers) || workers.length === 0 || workers.length > most)
    throw invalid(
      `${what}: workers is ${show(workers)}, but it is a number of threads from 1 to ${most}, or a list of devices, of functions that open one, or of "thread"s, as in workers: 2 or workers: [await openGpu(), "thread"]`,
    );
  for (const [i, place] of workers.entries()) checkPlace(`${what}: workers[${i}]`, place);
  return workers as readonly WorkerPlace[];
}

function checkPlace(what: string, place: unknown): void {
  if (typeof place === "string") checkWord(what, place, ["thread"]);
  else if (!(place instanceof Gpu) && typeof place !== "function")
    throw invalid(
      `${what} is ${show(place)}, but it is what openGpu() resolved to, a function that opens a device, or "thread"`,
    );
}
