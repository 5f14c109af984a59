import { PushforwardError } from "../errors.ts";

/** Browsers and Deno: the platform's own WebGPU. */
export async function provideGpu(): Promise<GPU> {
  if (globalThis.navigator?.gpu) return navigator.gpu;
  throw new PushforwardError(
    "no-adapter",
    "this page or runtime has no navigator.gpu: use a browser with WebGPU on a secure (https or localhost) page, or a Deno with WebGPU enabled",
  );
}

/** Promises of the platform wake up by themselves. */
export const patiently = <T>(promise: Promise<T>) => promise;

/** Nothing is slept over, so there is nothing to count. */
export const countTurns = () => () => Number.POSITIVE_INFINITY;

/** Resolves after a while. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
