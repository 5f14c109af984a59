// The program in the page itself, or in a dedicated worker of the page.
import { makeProgram } from "./program.mjs";

// The host exposes it.
const tell = (event) => globalThis.tellHost(event);

globalThis.program = makeProgram(tell);

globalThis.startWorker = () => {
  const worker = new Worker("/page/worker.mjs", { type: "module" });
  // Answers go back in the order of the events, which is how the worker counts them.
  let answered = Promise.resolve();
  return new Promise((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(`the worker threw: ${message}`));
    worker.onmessage = ({ data }) => {
      if (data.type === "ready") return resolve(undefined);
      const acted = tell(data);
      answered = answered.then(() => acted).then(() => worker.postMessage("acted"));
    };
  });
};
