// What the browser bundle exports: the public names, and the way to pushforward-workers.min.js, which shares this file's classes.
export * from "./index.ts";

/** @internal */
export const loadWorkers = () => import("./workers/entry.ts");
