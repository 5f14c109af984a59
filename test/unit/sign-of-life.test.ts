import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Kernel } from "../../shaders/kernel.ts";
import type { Compilation, PipelineCache } from "../../src/gpu/pipelines.ts";
import type { Progress } from "../../src/schedule/job.ts";
import { SignOfLife } from "../../src/schedule/sign-of-life.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const kernels = ["a", "b", "c"].map(
  (label): Kernel => ({ label, code: label, entryPoint: "main", params: {}, buffers: {} }),
);

/** As much of a cache of pipelines as is looked at; `end` ends the compilation of a kernel. */
function imaginaryCache() {
  const compilations = new Map<Kernel, Compilation>();
  const cache = {
    gate: undefined as Promise<void> | undefined,
    compilation(kernel: Kernel): Compilation {
      const known = compilations.get(kernel) ?? { asked: undefined, pipeline: undefined };
      compilations.set(kernel, known);
      return known;
    },
  };
  const end = (kernel: Kernel | undefined) => {
    if (kernel) cache.compilation(kernel).pipeline = { isReady: true } as Compilation["pipeline"];
  };
  return { cache: cache as unknown as PipelineCache, end };
}

const half = { done: 50, total: 100, particlesPerSecond: 10, secondsLeft: 5 };

test("a call tells of its kernels four times a second while they are compiled, and of nothing while all goes quickly", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  const { cache, end } = imaginaryCache();
  sign.expect(cache, kernels);
  sign.expect(cache, kernels.slice(1)); // again, by a part of the call that needs the same
  vi.advanceTimersByTime(240);
  expect(heard).toEqual([]);
  vi.advanceTimersByTime(20);
  const first = { done: 0, total: 100, particlesPerSecond: 0, secondsLeft: Number.POSITIVE_INFINITY };
  expect(heard).toEqual([{ ...first, compiling: { done: 0, total: 3 } }]);
  end(kernels[0]);
  vi.advanceTimersByTime(750);
  expect(heard.length).toBe(4);
  expect(heard.at(-1)?.compiling).toEqual({ done: 1, total: 3 });
  for (const kernel of kernels) end(kernel);
  sign.tell(half);
  vi.advanceTimersByTime(800);
  expect(heard.length).toBe(5);
  sign.end();
});

test("kernels that are asked for later are counted anew, with the progress so far", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  const { cache, end } = imaginaryCache();
  sign.expect(cache, kernels.slice(0, 1));
  end(kernels[0]);
  sign.tell(half);
  sign.expect(cache, kernels);
  vi.advanceTimersByTime(300);
  expect(heard.at(-1)).toEqual({ ...half, compiling: { done: 0, total: 2 } });
  sign.end();
});

test("a call that has nothing to tell says within a second that it is at work", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  vi.advanceTimersByTime(1000);
  expect(heard).toEqual([{ done: 0, total: 100, particlesPerSecond: 0, secondsLeft: Number.POSITIVE_INFINITY }]);
  vi.advanceTimersByTime(2000);
  expect(heard.length).toBe(3);
  sign.end();
});

test("a call whose device is held by a trial says so", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  const { cache, end } = imaginaryCache();
  for (const kernel of kernels) end(kernel);
  sign.expect(cache, kernels);
  cache.gate = Promise.resolve();
  vi.advanceTimersByTime(300);
  expect(heard).toMatchObject([{ done: 0, total: 100, tuning: true }]);
  expect(heard[0]?.compiling).toBe(undefined);
  sign.end();
});

test("where the thread stands still while it waits, it is told before", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  const { cache } = imaginaryCache();
  sign.expect(cache, kernels);
  sign.poll();
  expect(heard).toEqual([]);
  sign.poll(true);
  sign.poll(true);
  expect(heard.map(({ compiling }) => compiling)).toEqual([{ done: 0, total: 3 }]);
  sign.end();
});

test("while its consumer has a result, and after its end, a call tells nothing and keeps no timer", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  sign.pause();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(5000);
  sign.resume();
  vi.advanceTimersByTime(800);
  expect(heard).toEqual([]);
  vi.advanceTimersByTime(200);
  expect(heard.length).toBe(1);
  sign.end();
  expect(vi.getTimerCount()).toBe(0);
});

test("what onProgress throws ends the call, also when nobody is there to catch it", () => {
  const fault = new Error("no bar");
  const sign = new SignOfLife(() => {
    throw fault;
  }, 100);
  const faults: unknown[] = [];
  sign.onFault = (error) => void faults.push(error);
  vi.advanceTimersByTime(3000);
  expect(faults).toEqual([fault]);
  expect(() => sign.check()).toThrow(fault);
  expect(vi.getTimerCount()).toBe(0);
});

test("without a listener there is no timer", () => {
  const sign = new SignOfLife(undefined, 100);
  expect(vi.getTimerCount()).toBe(0);
  sign.expect(imaginaryCache().cache, kernels);
  sign.poll(true);
  sign.end();
});

test("parts of a call that tell what they wait for are heard with its own progress, and not too often", () => {
  const heard: Progress[] = [];
  const sign = new SignOfLife((progress) => void heard.push(progress), 100);
  sign.tell(half);
  vi.advanceTimersByTime(260);
  for (const done of [1, 2, 3]) sign.passOn({ compiling: { done, total: 4 } });
  sign.passOn({});
  expect(heard).toEqual([half, { ...half, compiling: { done: 1, total: 4 } }]);
  sign.end();
});
