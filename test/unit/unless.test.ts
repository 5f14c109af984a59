import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { unless } from "../../src/schedule/unless.ts";

const stop = () => {
  let reject: (reason: unknown) => void = () => undefined;
  const stopped = new Promise<never>((_, stops) => {
    reject = stops;
  });
  stopped.catch(() => undefined);
  return { stopped, reject };
};

test("what comes first wins, before and after the stop", async () => {
  const { stopped, reject } = stop();
  await expect(unless(stopped, Promise.resolve(1))).resolves.toBe(1);
  await expect(unless(stopped, Promise.reject(new Error("own")))).rejects.toThrow("own");
  const never = [unless(stopped, new Promise(() => undefined)), unless(stopped, new Promise(() => undefined))];
  reject(new Error("stopped"));
  for (const promise of never) await expect(promise).rejects.toThrow("stopped");
  await expect(unless(stopped, new Promise(() => undefined))).rejects.toThrow("stopped");
});

test("nothing is kept of a value that has won against a stop that never comes", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const { stopped, reject } = stop();
  const ghosts: WeakRef<ArrayBuffer>[] = [];
  const take = async () => {
    const value = await unless(stopped, Promise.resolve(new ArrayBuffer(1 << 20)));
    ghosts.push(new WeakRef(value));
  };
  for (let i = 0; i < 8; i++) await take();
  // a WeakRef holds its target until the end of the job that made it
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  // the engine itself may still hold one in a register; Promise.race would hold all
  expect(ghosts.filter((ghost) => ghost.deref() !== undefined).length).toBeLessThan(2);
  reject(new Error("the end"));
});
