import { expect, test } from "vitest";
import { dispatchOf } from "../../shaders/dispatch.ts";
import { pack, read, wordsOf } from "../../shaders/interface.ts";
import { kernel } from "../../shaders/kernel.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { seedKey } from "../../src/random/philox.ts";
import { schedule } from "../../src/solvers/schedule.ts";
import { stageRow } from "../../src/solvers/stage-row.ts";
import { jittered } from "../../src/train/jitter.ts";

const grid = (steps: number, warp?: number) =>
  timeGrid("a test", { method: "midpoint", steps, ...(warp !== undefined && { warp }) }, 1, 0);

test("a warp of p has the times 1 − (1 − s)^p, whichever way and from wherever a solve goes", () => {
  const s = (k: number) => 1 - (1 - k / 6) ** 1.5;
  const back = [...grid(6, 1.5).times];
  for (const [k, time] of back.entries()) expect(time).toBeCloseTo(s(6 - k), 15);
  expect([back[0], back[6]]).toEqual([1, 0]);
  const part = timeGrid("a test", { method: "euler", steps: 2, warp: 1.5 }, s(2), s(4));
  expect(part.times[1]).toBeCloseTo(s(3), 14);
  expect(grid(7, 1).times).toEqual(grid(7).times);
  expect([...grid(7).times]).toEqual(Array.from({ length: 8 }, (_, k) => 1 - k / 7));
});

test("jitter moves inner times by up to its part of a step, and differently at every step and for every seed", () => {
  const steps = 5;
  const seen = new Set<number>();
  let [least, most] = [1, -1];
  for (let step = 0; step < 400; step++) {
    const { times } = jittered(grid(steps), 0.4, step, seedKey(3));
    expect([times[0], times[steps]]).toEqual([1, 0]);
    for (let k = 1; k < steps; k++) {
      const moved = steps * (1 - (times[k] ?? Number.NaN)) - k;
      [least, most] = [Math.min(least, moved), Math.max(most, moved)];
      seen.add(moved);
    }
  }
  expect(seen.size).toBeGreaterThan(1590);
  expect(least).toBeLessThan(-0.39);
  expect(least).toBeGreaterThanOrEqual(-0.4 - 1e-12);
  expect(most).toBeGreaterThan(0.39);
  expect(most).toBeLessThanOrEqual(0.4 + 1e-12);
  const at = (step: number, seed: number) => [...jittered(grid(9, 1.5), 0.4, step, seedKey(seed)).times];
  expect(at(2 ** 33 + 1, 3)).toEqual(at(2 ** 33 + 1, 3));
  expect(at(2 ** 33 + 1, 3)).not.toEqual(at(1, 3));
  expect(at(1, 3)).not.toEqual(at(1, 4));
  expect(at(1, 3).every((time, k, all) => k === 0 || time < (all[k - 1] ?? 0))).toBe(true);
});

test("a dispatch planned of a live schedule has its numbers of the moment when it is encoded", () => {
  const table = schedule(grid(2));
  const row = stageRow(table, 2, 1, 1, true);
  const made = kernel({
    label: "a test",
    entryPoint: "main",
    code: "",
    params: { count: "u32", time: "f32", a0: "f32" },
    buffers: { x: read("array<f32>") },
  });
  const size = { workgroups: [1], flops: 1 } as const;
  const [a0 = 0] = row.a;
  const dispatch = dispatchOf(made, { params: { count: 3, time: row.time, a0 }, buffers: { x: "x" }, ...size });
  expect(dispatch.params).toEqual({ count: 3, time: 0.25, a0: -0.25 });
  table.set(schedule(jittered(grid(2), 0.4, 0, seedKey(1))));
  const now = stageRow(table, 2, 1, 1);
  const words = wordsOf(1);
  pack(made.params, dispatch.params, words, 0, dispatch.entries);
  expect(words.integers[0]).toBe(3);
  expect([words.floats[1], words.floats[2]]).toEqual([now.time, now.a[0]]);
  expect(now.time).not.toBe(0.25);
});
