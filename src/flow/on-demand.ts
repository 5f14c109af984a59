// What a browser loads when it is first asked for: see flow.ts.
export { evaluate } from "./evaluation.ts";
