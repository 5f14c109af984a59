import * as pf from "pushforward";
import { partialStride } from "../../shaders/optimizer.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { type Dispatch, mergeBuffers } from "../../src/gpu/kernel.ts";
import { readBack } from "../../src/gpu/read.ts";
import { unusedBuffers } from "../../src/kernels/finish.ts";
import { heldPlanner } from "../../src/kernels/held-dense.ts";
import { subgroupForWeights } from "../../src/kernels/tiling.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { networkOf } from "../../src/network/of.ts";
import { allocateAll, gradientBuffers, planPackings } from "../../src/train/buffers.ts";
import { layeredBackward } from "../../src/train/layered-backward.ts";
import { weightPlaces } from "../../src/velocity/dense-layout.ts";
import { inputRows } from "../../src/velocity/run.ts";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const velocities: Record<string, pf.MlpOptions> = {
  "layers of three widths": { dim: 2, hidden: [35, 21, 64], activation: "sin" },
  "one layer, three dimensions": { dim: 3, hidden: [33], activation: "tanh" },
  "more layers than a chain has room for": { dim: 2, hidden: Array(19).fill(9), activation: "silu" },
  "classes and context": { dim: 2, hidden: [17, 18], activation: "gelu", classes: 3, context: 2 },
};

for (const [name, options] of Object.entries(velocities))
  for (const kind of ["none", "trace", "matrix"] as const)
    test(`a pass of a likelihood has the same bits in chains of layers as layer by layer: ${name}, tangents: ${kind}`, async ({
      gpu,
    }) => {
      const subgroup = subgroupForWeights(gpu.info);
      // chains are for adapters in software
      if (subgroup === 0) return;
      const velocity = pf.mlp(options);
      const network = networkOf(velocity);
      const { dim } = network;
      const [count, capacity] = [150, 192];
      const places = weightPlaces(network);
      const most = { count: kind === "none" ? 0 : dim, kind: kind === "matrix" ? kind : ("trace" as const) };
      const tangents =
        kind === "matrix" ? { count: dim, matrix: "matrix" } : { count: most.count, first: 0, weight: 0.3 };
      const run = async (inChains: boolean) => {
        const linear = heldPlanner(places, subgroup, true);
        const backward = layeredBackward(gpu, network, linear, inChains ? { places, subgroup } : undefined);
        const later = backward.later;
        if (!later) throw new Error("an adapter in software puts gradients off");
        // as many FLOPs as a part of the particles has
        const batch = { capacity, count, maxFlops: 300_000 };
        const own = {
          h0: inputRows(network),
          kappa: dim * (1 + dim),
          eta: inputRows(network) + dim * dim,
          matrix: dim * dim,
          velocity: dim * (1 + dim),
        };
        const parts = new Map<string, number>([
          ...Object.entries(own).map(([name, rows]) => [name, 4 * rows * capacity] as const),
          ...later.buffers(capacity, most).map(({ name, bytes }) => [name, bytes] as const),
        ]);
        const arena = new Arena(gpu.current);
        try {
          const parameters = initialParameters(network, 3).map((value, i) => value + 0.05 * Math.sin(i));
          await arena.allocate("parameters", parameters.byteLength, parameters);
          const filled = Object.entries(own).map(([name, rows], i) => ({
            name,
            bytes: 4 * rows * capacity,
            data: uniformArray(rows * capacity, -1, 1, 2 + i),
          }));
          await allocateAll(
            arena,
            mergeBuffers([
              ...gradientBuffers(backward, velocity, capacity, most),
              ...later.buffers(capacity, most),
              ...later.tables(most),
              ...unusedBuffers,
              ...filled,
            ]),
          );
          const pass = [
            ...later.forward(batch, { output: "velocity", tangents }),
            ...later.reverse(batch, { cotangent: "kappa", xbar: "eta", tangents }),
          ];
          const weights = later.weights(batch, {
            cotangent: "kappa",
            tangents,
            begin: true,
            first: 0,
            passes: 1,
            parts,
          });
          const dispatches: Dispatch[] = [...planPackings(backward), ...pass, ...weights];
          await arena.makeRoom(dispatches.length);
          const { pipelines } = await arena.prepare(dispatches);
          const encoder = gpu.device.createCommandEncoder();
          arena.encode(encoder, dispatches, pipelines);
          gpu.device.queue.submit([encoder.finish()]);
          const read = async (name: string, bytes: number) =>
            new Float32Array(await readBack(gpu.current, arena.buffer(name), bytes));
          const rows = await read("eta", 4 * capacity * (kind === "matrix" ? dim * (1 + dim) : dim));
          const copies = backward.copies(capacity);
          const stride = partialStride(network.parameterCount);
          return {
            chains: pass.filter(({ kernel }) => kernel.label.startsWith("chain")).length,
            layers: pass.filter(({ kernel }) => kernel.label.startsWith("dense")).length,
            rows,
            velocity: await read("velocity", 4 * capacity * (kind === "matrix" ? dim * (1 + dim) : dim)),
            products: kind === "trace" ? await read("jv", 4 * capacity * most.count * dim) : undefined,
            // what is behind the parameters of a copy is nobody's
            gradient: (await read("partials", 4 * copies * stride)).filter(
              (_, i) => i % stride < network.parameterCount,
            ),
          };
        } finally {
          arena.release();
        }
      };
      const [layered, chained] = [await run(false), await run(true)];
      expect(layered.chains).toBe(0);
      expect(chained.layers).toBe(0);
      expect(chained.chains > 0).toBe(true);
      expect(chained.rows).toEqual(layered.rows);
      expect(chained.velocity).toEqual(layered.velocity);
      expect(chained.products).toEqual(layered.products);
      expect(chained.gradient).toEqual(layered.gradient);
      expect(layered.rows.every(Number.isFinite)).toBe(true);
      expect(layered.gradient.some((value) => value !== 0)).toBe(true);
    });
