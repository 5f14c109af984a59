/**
 * Browsers and Deno: promises of the platform wake up by themselves, so nothing is gained by sleeping before them. It has a file of its
 * own, without imports, since only then esbuild leaves what it rules out out of the browser bundle.
 */
export const waitingSpins = false;
