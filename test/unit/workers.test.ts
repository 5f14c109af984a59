import { expect, test } from "vitest";
import { saveFlow } from "../../src/flow/save-file.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import type { SpreadCall } from "../../src/spread/call.ts";
import type { CarriedFlow } from "../../src/spread/carried-flow.ts";
import { Ending } from "../../src/spread/ending.ts";
import { inOrder } from "../../src/spread/in-order.ts";
import type { FinishedRange, RangeTask } from "../../src/spread/range-task.ts";
import { rangesOf, rangesOfCall } from "../../src/spread/ranges.ts";
import { SpreadCalls } from "../../src/spread/spread-calls.ts";
import { asInstalled } from "../../src/web-script.ts";
import { Pool } from "../../src/workers/pool.ts";
import type { Outcome, RangeWorker } from "../../src/workers/range-worker.ts";

const flow: CarriedFlow = {
  hash: "0",
  parcel: new Uint8Array(0),
  shape: {
    dim: 1,
    velocitySpec: mlp({ dim: 1, hidden: [4] }),
    source: sourceSpec({ distribution: "gaussian" }, 1),
    normalization: undefined,
    assertAlive: () => undefined,
  },
};
const task = (start: number): RangeTask => ({ what: "sample", start, count: 1024, total: 4096, options: {} });
const done = (adapter = "a"): Outcome => ({ kind: "done", adapter, figures: { nfe: 1, nonFinite: 0 }, arrays: {} });
const failed = (message: string, isFinal = false): Outcome => {
  return { kind: "failed", failure: { code: isFinal ? "shader" : "out-of-memory", message, isFinal } };
};

/** A worker whose ranges are finished by the test. */
class Puppet implements RangeWorker {
  readonly adapter = "a";
  readonly name: string;
  readonly gone: Promise<string>;
  /** Starts of the ranges that it was given. */
  readonly given: number[] = [];
  isAborted = false;
  isClosed = false;
  go: (why: string) => void = () => undefined;
  #answer: (outcome: Outcome) => void = () => undefined;

  constructor(name: string) {
    this.name = name;
    this.gone = new Promise((resolve) => {
      this.go = (why) => {
        resolve(why);
        this.#answer({ kind: "gone", why });
      };
    });
  }

  solve(_flow: CarriedFlow, { start }: RangeTask): Promise<Outcome> {
    this.given.push(start);
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  /** Lets go of the range in work; resolves when the pool has heard of it. */
  async answer(outcome: Outcome): Promise<void> {
    this.#answer(outcome);
    await settled();
  }

  abort(): void {
    this.isAborted = true;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.#answer({ kind: "gone", why: "was closed" });
  }
}

/** All promises that can settle by themselves have. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

function poolOf(...names: string[]) {
  const puppets = names.map((name) => new Puppet(name));
  const notices: string[] = [];
  const pool = new Pool(puppets, (text) => notices.push(text));
  const signal = new AbortController().signal;
  const solve = (start: number, of = signal) => {
    const waits = () => undefined;
    const range = pool.solve({ flow, task: task(start), input: () => ({}), signal: of, waits });
    range.catch(() => undefined);
    return range;
  };
  const [a, b] = puppets as [Puppet, Puppet];
  return { pool, a, b, notices, solve };
}

test("each worker has one range at a time; the others wait in the order in which they came", async () => {
  const { a, b, solve } = poolOf("a", "b");
  const all = [0, 1, 2, 3].map((start) => solve(start));
  expect([a.given, b.given]).toEqual([[0], [1]]);
  await b.answer(done());
  expect([a.given, b.given]).toEqual([[0], [1, 2]]);
  await a.answer(done());
  expect(a.given).toEqual([0, 3]);
  await a.answer(done());
  await b.answer(done());
  expect((await Promise.all(all)).map(({ start, worker }) => [start, worker])).toEqual([
    [0, "a"],
    [1, "b"],
    [2, "b"],
    [3, "a"],
  ]);
});

test("the range of a worker that goes is the next to be given out, and idle workers that go get none", async () => {
  const { pool, a, b, notices, solve } = poolOf("a", "b");
  const all = [0, 1, 2].map((start) => solve(start));
  a.go("was ended");
  await settled();
  expect(a.isClosed).toBe(true);
  expect(notices).toEqual(["worker a was ended in the middle of particles 0 to 1023 of 4096 (sample); 1 is left"]);
  for (const start of [1, 0, 2]) {
    expect(b.given.at(-1)).toBe(start);
    await b.answer(done());
  }
  await Promise.all(all);
  b.go("lost its device");
  await settled();
  expect(notices[1]).toBe("worker b lost its device; none is left");
  expect(pool.workers).toEqual([]);
  const message = "no worker is left: a was ended, b lost its device; open new ones with openWorkers()";
  await expect(solve(3)).rejects.toMatchObject({ code: "device-lost", message });
});

test("a failure that another attempt may mend is tried three times, by another worker if one is free; others are final", async () => {
  const { a, b, solve } = poolOf("a", "b");
  const first = solve(0);
  await a.answer(failed("no room"));
  expect(b.given).toEqual([0]);
  await b.answer(failed("no room"));
  expect(a.given).toEqual([0, 0]);
  await a.answer(failed("no room (worker a)"));
  await expect(first).rejects.toMatchObject({
    code: "out-of-memory",
    message: "particles 0 to 1023 of 4096 (sample) failed: no room (worker a)",
  });
  const second = solve(1);
  await b.answer(failed("line 3", true));
  await expect(second).rejects.toMatchObject({ code: "shader" });
  expect(a.given).toEqual([0, 0]);
});

test("a range that ends three workers is given up, so that it does not end all", async () => {
  const { pool, solve } = poolOf("a", "b", "c", "d");
  const range = solve(0);
  for (let i = 0; i < 3; i++) {
    const owner = (pool.workers as Puppet[]).find(({ given }) => given.length > 0);
    owner?.go("was ended");
    await settled();
  }
  await expect(range).rejects.toMatchObject({
    code: "device-lost",
    message: expect.stringMatching(/worker c was ended.*smaller rangeSize/),
  });
  expect(pool.workers.length).toBe(1);
});

test("a call that is recalled lets go of what waits at once, and of what is in work when the worker has stopped", async () => {
  const { pool, a, b, solve } = poolOf("a", "b");
  const abort = new AbortController();
  const told: string[] = [];
  const [running, other, waiting] = [solve(0, abort.signal), solve(1), solve(2, abort.signal)];
  running.catch(() => told.push("running"));
  waiting.catch(() => told.push("waiting"));
  abort.abort(new Error("enough"));
  pool.recall(abort.signal);
  await settled();
  expect([told, a.isAborted, b.isAborted]).toEqual([["waiting"], true, false]);
  await a.answer(failed("aborted"));
  expect(told).toEqual(["waiting", "running"]);
  await expect(running).rejects.toThrow("enough");
  await b.answer(done());
  await expect(other).resolves.toMatchObject({ start: 1 });
  await pool.close();
  expect([a.isClosed, b.isClosed]).toEqual([true, true]);
  await expect(solve(3)).rejects.toThrow(/no worker is left: all were closed/);
});

test("results come in the order of the ranges, and no range begins further ahead of the consumer than allowed", async () => {
  const ending = new Ending();
  const begun: number[] = [];
  const finish = new Map<number, () => void>();
  const solve = ({ start }: { start: number }) => {
    begun.push(start);
    return new Promise<number>((resolve) => finish.set(start, () => resolve(start)));
  };
  const stream = inOrder(ending, rangesOf(5, 1), () => 2, solve);
  const first = stream.next();
  await settled();
  expect(begun).toEqual([0, 1]);
  finish.get(1)?.();
  await settled();
  expect(begun).toEqual([0, 1]);
  finish.get(0)?.();
  expect((await first).value).toBe(0);
  expect(begun).toEqual([0, 1]);
  expect((await stream.next()).value).toBe(1);
  const third = stream.next();
  await settled();
  expect(begun).toEqual([0, 1, 2, 3]);
  ending.fail(new Error("lost"));
  await expect(third).rejects.toThrow("lost");
});

test("an ending rejects with the reason of whichever came first, and no longer listens when it is over", async () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const ending = new Ending(one.signal, undefined, other.signal);
  other.abort(new Error("closed"));
  one.abort(new Error("late"));
  await expect(ending.stopped).rejects.toThrow("closed");
  expect(() => new Ending(undefined, one.signal)).toThrow("late");
  const fresh = new AbortController();
  const over = new Ending(fresh.signal);
  over.end();
  fresh.abort(new Error("too late"));
  await expect(over.stopped).rejects.toMatchObject({ name: "AbortError" });
});

test("a call's own range size is rounded up to whole blocks of 1024", () => {
  const call = (rangeSize?: number) => ({ total: 5000, bytesPerParticle: 8, spread: rangeSize ? { rangeSize } : {} });
  expect([...rangesOfCall(call(1025), 2)].map(({ count }) => count)).toEqual([2048, 2048, 904]);
  expect([...rangesOfCall(call(), 1)].map(({ count }) => count)).toEqual([1024, 1024, 1024, 1024, 904]);
});

/** Ranges of given adapters, without anybody who computes them. */
class Told extends SpreadCalls {
  readonly #adapters: readonly string[];

  constructor(adapters: readonly string[], options: { sameAdapter?: boolean; onNotice?: (text: string) => void }) {
    super({ sameAdapter: false, onNotice: () => undefined, ...options });
    this.#adapters = adapters;
  }

  protected async *spread(_flow: CarriedFlow, { total }: SpreadCall): AsyncGenerator<FinishedRange> {
    for (const [i, adapter] of this.#adapters.entries()) {
      const count = total / this.#adapters.length;
      const arrays = { x: new Float32Array(count).fill(i) };
      yield { start: i * count, count, worker: `w${i}`, adapter, figures: { nfe: 1, nonFinite: 0 }, arrays };
    }
  }
}

test("adapters that differ are told in the result and by a notice, and are an error where they must not", async () => {
  const velocity = mlp({ dim: 1, hidden: [4] });
  const tensors = networkOf(velocity).tensors.map(({ name, size }) => [name, new Float32Array(size)] as const);
  const file = saveFlow(velocity, Object.fromEntries(tensors), { distribution: "gaussian" }, undefined);
  const notices: string[] = [];
  const onNotice = (text: string) => notices.push(text);
  const mixed = ["one", "other", "one"];
  const { adapters, x } = await new Told(mixed, { onNotice }).sample(file, 3);
  expect(adapters).toEqual(["one", "other"]);
  expect(x).toEqual(Float32Array.of(0, 1, 2));
  const told = 'worker w1 has the adapter "other", others have "one": the last bits of their results may differ';
  expect(notices).toEqual([told]);
  await expect(new Told(mixed, { sameAdapter: true }).sample(file, 3)).rejects.toMatchObject({
    code: "unsupported",
    message: `${told}; stop one kind of workers, or leave sameAdapter out`,
  });
});

test.each([
  ["/node_modules/.vite/deps/pushforward-thread.min.js", "/node_modules/pushforward/dist/pushforward-thread.min.js"],
  [
    "/app/node_modules/.vite/deps_temp_1/pushforward-thread.min.js",
    "/app/node_modules/pushforward/dist/pushforward-thread.min.js",
  ],
  ["/assets/pushforward-thread.min.js", "/assets/pushforward-thread.min.js"],
])("the thread's script of %s is looked for at %s", (moved, found) => {
  expect(asInstalled(new URL(moved, "http://localhost:5173"))).toBe(`http://localhost:5173${found}`);
});
