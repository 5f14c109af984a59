import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

/** @typedef {{ phase: string, worker: string, what: string, start: number, count: number, message?: string }} WorkerEvent */

/** Runs the command line to its end. */
export async function runCli(args) {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const output = { out: "", error: "" };
  child.stdout.on("data", (text) => {
    output.out += text;
  });
  child.stderr.on("data", (text) => {
    output.error += text;
  });
  const [code] = await once(child, "close");
  return { code, ...output };
}

/** Worker processes of a queue, and all that they have told, in the order in which it arrived. */
export class Workers {
  /** @type {WorkerEvent[]} */
  events = [];
  /** Called for every event. @type {(event: WorkerEvent) => void} */
  onEvent = () => undefined;
  #children = new Map();
  #exits = new Map();

  constructor(url) {
    this.url = url;
  }

  /** Starts a worker and waits until it takes ranges. */
  async start(name) {
    const args = ["worker", "--redis", this.url, "--name", name, "--lock-seconds", "2", "--json"];
    const child = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.#children.set(name, child);
    let told = "";
    child.stderr.on("data", (text) => {
      told += text;
    });
    const exit = once(child, "exit").then(([code, signal]) => ({ code, signal, told }));
    this.#exits.set(name, exit);
    const ready = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        const event = { worker: name, ...JSON.parse(line) };
        if (event.phase === "ready") resolve(undefined);
        this.events.push(event);
        this.onEvent(event);
      });
    });
    const early = await Promise.race([ready, exit]);
    if (early) throw new Error(`worker ${name} ended with ${early.code ?? early.signal}: ${early.told}`);
  }

  /** Sends a signal; what comes out of it is known by {@link ended}. */
  signal(name, signal) {
    this.#children.get(name).kill(signal);
  }

  /** @returns {Promise<{ code: number | null, signal: string | null, told: string }>} */
  ended(name) {
    return this.#exits.get(name);
  }

  killAll() {
    for (const child of this.#children.values()) child.kill("SIGKILL");
  }
}
