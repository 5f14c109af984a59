import { startThread } from "#threads";
import { PushforwardError } from "../errors.ts";
import type { Compiling } from "../spread/call-progress.ts";
import type { CarriedFlow } from "../spread/carried-flow.ts";
import type { Arrays } from "../spread/parcel.ts";
import type { RangeTask } from "../spread/range-task.ts";
import { version } from "../spread/version.ts";
import type { FromThread, ThreadGpuOptions } from "./messages.ts";
import type { Outcome, RangeWorker } from "./range-worker.ts";
import type { Thread, ThreadPlace } from "./thread-handle.ts";

/** Copies that may be moved to another thread: what was passed in stays its owner's. */
function copies(arrays: Arrays): Arrays {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.slice()]));
}

/** Arrays that came as views of one message, each in memory of its own as results of a flow are. */
function inOwnMemory(arrays: Arrays): Arrays {
  const own = Object.entries(arrays).map(([name, array]) => {
    return [name, array.byteLength === array.buffer.byteLength ? array : array.slice()] as const;
  });
  return Object.fromEntries(own);
}

type Answer = Exclude<FromThread, { kind: "want" | "compiling" }>;

/** Another thread, which opens a device of its own. */
export class ThreadWorker implements RangeWorker {
  readonly gone: Promise<string>;
  adapter = "";
  readonly #thread: Thread;
  #why: string | undefined;
  #flow: CarriedFlow | undefined;
  #waits: (compiling: Compiling) => void = () => undefined;
  #answer: (message: Answer) => void = () => undefined;

  constructor(place: ThreadPlace) {
    let tell: (why: string) => void = () => undefined;
    this.gone = new Promise((resolve) => {
      tell = resolve;
    });
    this.#thread = startThread(place, {
      onMessage: (message) => this.#take(message),
      onGone: (why) => {
        if (this.#why !== undefined) return;
        this.#why = why;
        this.#answer({ kind: "gone", why });
        tell(why);
      },
    });
  }

  /** Starts a thread; rejects when it cannot open a device, and leaves nothing behind then. */
  static async open(place: ThreadPlace, gpu: ThreadGpuOptions): Promise<ThreadWorker> {
    const worker = started(place);
    try {
      const { name } = worker;
      const answer = await worker.#ask(() => worker.#thread.post({ kind: "open", name, gpu }, []));
      worker.adapter = adapterOf(name, answer);
      return worker;
    } catch (error) {
      await worker.close();
      throw error;
    }
  }

  get name(): string {
    return this.#thread.name;
  }

  async solve(
    flow: CarriedFlow,
    task: RangeTask,
    input: Arrays,
    waits: (compiling: Compiling) => void,
  ): Promise<Outcome> {
    this.#flow = flow;
    this.#waits = waits;
    const answer = await this.#ask(() => {
      const own = copies(input);
      const buffers = Object.values(own).map(({ buffer }) => buffer as ArrayBuffer);
      this.#thread.post({ kind: "range", hash: flow.hash, task, input: own }, buffers);
    });
    this.#flow = undefined;
    if (answer.kind === "ready") throw new Error("a thread is opened once");
    return answer.kind === "done" ? { ...answer, arrays: inOwnMemory(answer.arrays) } : answer;
  }

  abort(): void {
    this.#thread.post({ kind: "abort" }, []);
  }

  #ask(post: () => void): Promise<Answer> {
    return new Promise((resolve) => {
      if (this.#why !== undefined) return resolve({ kind: "gone", why: this.#why });
      this.#answer = resolve;
      post();
    });
  }

  #take(message: FromThread): void {
    if (typeof message !== "object" || message === null) return;
    if (message.kind === "compiling") {
      this.#waits(message.compiling);
      return;
    }
    if (message.kind !== "want") {
      this.#answer(message);
      return;
    }
    const parcel = this.#flow?.parcel.slice();
    if (parcel) this.#thread.post({ kind: "flow", parcel }, [parcel.buffer]);
  }

  close(): Promise<void> {
    this.#why ??= "was closed";
    this.#answer({ kind: "gone", why: this.#why });
    return this.#thread.end();
  }
}

const where =
  "where a bundler has moved files, pass the thread's script as script: new URL(…) (Vite's development server: optimizeDeps: { exclude: [\"pushforward\"] }); where there can be no threads, pass devices in workers";

/** A thread that is on its way; whatever the platform throws is told as its refusal. */
function started(place: ThreadPlace): ThreadWorker {
  try {
    return new ThreadWorker(place);
  } catch (cause) {
    if (cause instanceof PushforwardError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    const text = `openWorkers: thread ${place.number} cannot be started (${why}): ${where}`;
    throw new PushforwardError("unsupported", text, { cause });
  }
}

/** The adapter of a thread that is ready; throws what kept it from that. */
function adapterOf(name: string, answer: Answer): string {
  if (answer.kind === "failed")
    throw new PushforwardError(answer.failure.code, `openWorkers: ${answer.failure.message}`);
  if (answer.kind === "gone")
    throw new PushforwardError(
      "unsupported",
      `openWorkers: ${name} ${answer.why} before it was ready: see what it has printed; ${where}`,
    );
  if (answer.kind === "ready" && answer.version === version) return answer.adapter;
  const other = answer.kind === "ready" ? answer.version : "unknown";
  throw new PushforwardError(
    "unsupported",
    `openWorkers: the script of ${name} is of pushforward ${other}, but this is ${version}: take the script from the same package, because others may give other bits`,
  );
}
