import type { Workers, WorkersOptions } from "pushforward/workers";
import { openWorkers } from "pushforward/workers";
import type { Home } from "../suite.ts";

/** Workers whose threads can be ended from outside, as a crash or the system would. */
export interface Mortals {
  readonly workers: Workers;
  /** Ends a thread at once, by the name that results and messages give it. */
  kill(name: string): void;
}

/** Opens workers and keeps a hand on their threads: Node's are processes, whose names have their ids; elsewhere they are web workers. */
export async function openMortals(home: Home, options: WorkersOptions): Promise<Mortals> {
  if (home === "node") {
    const workers = await openWorkers(options);
    return { workers, kill: (name) => void process.kill(numberIn(name), "SIGKILL") };
  }
  const started: Worker[] = [];
  const { Worker: Own } = globalThis;
  globalThis.Worker = class extends Own {
    constructor(url: string | URL, more?: WorkerOptions) {
      super(url, more);
      started.push(this);
    }
  };
  try {
    const workers = await openWorkers(options);
    return { workers, kill: (name) => started[numberIn(name) - 1]?.terminate() };
  } finally {
    globalThis.Worker = Own;
  }
}

const numberIn = (name: string) => Number(/\d+/.exec(name)?.[0]);
