/**
 * Browsers and Deno: promises of the platform wake up by themselves, so nothing is gained by sleeping before them. It has a file of its
 * own, without imports, since only then esbuild leaves what it rules out out of the browser bundle.
 */
export const waitingSpins = false;

/** Deno: the thread stands still while a kernel is compiled or a result is waited for, so whatever is to be told is told before. */
export const waitingBlocks = false;
