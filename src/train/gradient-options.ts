import { invalid } from "../errors.ts";
import { show } from "../options.ts";
import type { Progress } from "../schedule/job.ts";

export interface GradientOptions {
  /** Told within a second, while kernels are compiled, and at the end; see {@link Progress}. `done` and `total` are rows. */
  onProgress?: (progress: Progress) => void;
}

/** Checks `onProgress` of a call whose other options are checked elsewhere. */
export function checkOnProgress(what: string, { onProgress }: GradientOptions): void {
  if (onProgress !== undefined && typeof onProgress !== "function")
    throw invalid(`${what}: onProgress is ${show(onProgress)}, but it is a function that takes the progress`);
}
