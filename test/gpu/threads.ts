import type { Workers, WorkersOptions } from "pushforward/workers";
import { openWorkers } from "pushforward/workers";
import type { Home } from "../suite.ts";

/** Workers whose threads can be ended from outside, as a crash or the system would. */
interface Mortals {
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

/** The threads that are started from now on until `restore`: answers that they gave, and how many have not been ended. */
interface WatchedThreads {
  /** When one is asked for something for the first time. */
  readonly asked: Promise<void>;
  readonly answers: number;
  readonly running: number;
  restore(): void;
}

/** Threads in Node are those of node:worker_threads, else web workers. */
export async function watchThreads(home: Home): Promise<WatchedThreads> {
  const own = home === "node" ? (await import("node:worker_threads")).Worker.prototype : globalThis.Worker.prototype;
  const workers = own as unknown as {
    postMessage(this: EventTarget & { once?: Listen; addEventListener: Listen }, ...list: unknown[]): void;
    terminate(...list: unknown[]): unknown;
  };
  type Listen = (name: "message", listener: () => void) => void;
  const { postMessage, terminate } = workers;
  const running = new Set<unknown>();
  let answers = 0;
  const heard = () => {
    answers++;
  };
  let ask = () => {};
  const asked = new Promise<void>((resolve) => {
    ask = resolve;
  });
  workers.postMessage = function (...list) {
    if (!running.has(this)) {
      running.add(this);
      const listens = "on" in this ? (this.on as Listen) : this.addEventListener;
      listens.call(this, "message", heard);
    }
    postMessage.apply(this, list);
    ask();
  };
  workers.terminate = function (...list) {
    running.delete(this);
    return terminate.apply(this, list);
  };
  return {
    asked,
    get answers() {
      return answers;
    },
    get running() {
      return running.size;
    },
    restore: () => void Object.assign(workers, { postMessage, terminate }),
  };
}
