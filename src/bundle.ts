// What the browser bundle exports: the public names, and the ways to pushforward-workers.min.js, -diagnostics and -view, which share this file's classes.
export * from "./index.ts";

/** @internal */
export const loadWorkers = () => import("./workers/entry.ts");

/** @internal */
export const loadDiagnostics = () => import("./diagnostics/entry.ts");

/** @internal */
export const loadView = () => import("./view/entry.ts");
