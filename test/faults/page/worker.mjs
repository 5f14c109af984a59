// The program in a dedicated worker; what it tells goes through the page, which alone can speak to the host.
import { makeProgram } from "./program.mjs";

const untold = [];
globalThis.onmessage = () => untold.shift()();

globalThis.program = makeProgram((event) => {
  postMessage(event);
  return new Promise((resolve) => untold.push(() => resolve(undefined)));
});
postMessage({ type: "ready" });
