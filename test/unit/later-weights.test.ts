import { expect, test } from "vitest";
import { sourceSpec } from "../../src/flow/source.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { mergeBuffers } from "../../src/gpu/kernel.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { chunkOf } from "../../src/ode/engine.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { integrationOf } from "../../src/ode/integration.ts";
import { layeredEngine } from "../../src/ode/layered-engine.ts";
import { passesByLayer } from "../../src/train/backward-of.ts";
import { gradientBuffers } from "../../src/train/buffers.ts";
import { planLikelihoodGradient } from "../../src/train/likelihood-plan.ts";
import { type LikelihoodWork, likelihoodTangents } from "../../src/train/likelihood-work.ts";

const info = { software: true, subgroupSize: 8, vendor: "", architecture: "", description: "llvmpipe (LLVM 15.0.6)" };
const steps = 4;
const layers = 3;

/** What a likelihood's gradient is planned of on lavapipe, over a batch. */
function planned(batch: number, o: { method?: "midpoint" | "rk4"; kineticEnergy?: number } = {}) {
  const { method = "midpoint", kineticEnergy } = o;
  const velocity = mlp({ dim: 2, hidden: [32, 32], activation: "sin" });
  const gpu = { info } as Gpu;
  const backward = passesByLayer({ gpu }, velocity, true);
  const grid = timeGrid("test", { method, steps }, 1, 0);
  const work: LikelihoodWork = {
    velocity,
    engine: layeredEngine(gpu, networkOf(velocity), undefined as never),
    backward,
    source: sourceSpec(undefined, 2),
    grid,
    integration: integrationOf(grid, { mode: "exact" }),
    conditions: { guidance: 1 },
    constant: 0,
    leastDeterminant: 0,
    regularization: kineticEnergy === undefined ? undefined : { kineticEnergy },
  };
  const chunk = chunkOf(0, batch, 1e12);
  const gradient = planLikelihoodGradient(work, chunk);
  const buffers = mergeBuffers([
    ...gradient.buffers,
    ...gradientBuffers(backward, velocity, chunk.capacity, likelihoodTangents(work)),
  ]);
  return {
    dispatches: gradient.dispatches(chunk.maxFlops),
    sizes: new Map(buffers.map(({ name, bytes }) => [name, bytes])),
    capacity: chunk.capacity,
  };
}

const weightGradients = (o: Pick<ReturnType<typeof planned>, "dispatches">) =>
  o.dispatches.filter(({ kernel }) => kernel.label.startsWith("resident weight gradient"));

test("in software the gradients by the weights of a small batch's passes are found together: of values, and of all tangents", () => {
  // each step has a stage with tangents and one without
  const two = weightGradients(planned(256));
  expect(two).toHaveLength(layers * 3);
  expect(two.map(({ params }) => params.sources).sort()).toEqual(
    [...Array(2 * layers).fill(steps), ...Array(layers).fill(2 * steps)].sort(),
  );
  expect(two.filter(({ params }) => params.keeps === 0)).toHaveLength(layers);
  // every stage has tangents
  expect(weightGradients(planned(256, { method: "rk4" }))).toHaveLength(layers * 2);
});

test("what the gradients read of the last steps is kept by the forward solve, as far as there is room, and found anew of the others", () => {
  const chains = (batch: number) => planned(batch).dispatches.filter(({ kernel }) => kernel.label.startsWith("chain"));
  const before = (all: ReturnType<typeof chains>) => all.filter(({ buffers }) => "biases" in buffers).length;
  // a chain for the first layer and one for the others, for each stage
  expect(before(chains(256))).toBe(2 * 2 * steps);
  const engineLayers = (batch: number) =>
    planned(batch).dispatches.filter(({ kernel }) => kernel.label.startsWith("dense")).length;
  expect(engineLayers(256)).toBe(0);
  expect(engineLayers(1 << 13)).toBeGreaterThan(0);
  expect(engineLayers(1 << 14)).toBeGreaterThan(engineLayers(1 << 13));
});

test("large batches, and penalties, have gradients pass by pass", () => {
  const passByPass = layers * 3 * steps;
  expect(weightGradients(planned(1 << 14))).toHaveLength(passByPass);
  expect(weightGradients(planned(256, { kineticEnergy: 1 }))).toHaveLength(passByPass);
});

test("every part of a buffer lies within it, and passes whose gradients are found together have inputs of their own", () => {
  for (const batch of [64, 256, 4096]) {
    const { dispatches, sizes, capacity } = planned(batch, { method: "rk4" });
    const bytesOf = (name: string | undefined) => sizes.get(name ?? "") ?? 0;
    const written = new Set<number>();
    let isSummed = false;
    for (const { kernel, buffers, offsets = {}, params } of dispatches) {
      for (const [own, offset] of Object.entries(offsets)) {
        expect(offset % 256).toBe(0);
        expect(offset).toBeLessThan(bytesOf(buffers[own]));
      }
      const number = (name: string) => params[name] ?? Number.NaN;
      if (kernel.label.startsWith("ends of basis tangents")) {
        // after gradients a new group begins
        if (isSummed) written.clear();
        isSummed = false;
        const offset = offsets.rows ?? 0;
        expect(written.has(offset)).toBe(false);
        written.add(offset);
      }
      if (!kernel.label.startsWith("resident weight gradient")) continue;
      const tangents = number("tangents");
      const turns = number("sources") / tangents;
      expect(written.size).toBe(turns);
      for (const [side, count] of [
        ["input", "inputs"],
        ["cotangent", "outputs"],
      ] as const) {
        const last = (turns - 1) * number(`${side}_turn`) + (tangents - 1) * number(`${side}_rows`);
        const rows = number(`${side}_row`) + last + number(count);
        expect(4 * capacity * rows).toBeLessThanOrEqual(bytesOf(buffers[side === "input" ? "inputs" : "cotangents"]));
      }
      isSummed = true;
    }
  }
});
