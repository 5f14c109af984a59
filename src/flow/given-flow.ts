import { invalid } from "../errors.ts";
import type { Flow } from "./flow.ts";

/** What a function is told whose first argument is no flow. */
export const noFlow = (what: string) =>
  invalid(`${what}: the first argument is no Flow: pass what Flow.create or Flow.load gave`);

/** Throws for what is no flow. */
export function checkFlow(what: string, flow: Flow): void {
  if (typeof flow?.sample !== "function") throw noFlow(what);
}
