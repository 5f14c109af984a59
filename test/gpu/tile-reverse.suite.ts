import * as pf from "pushforward";
import { partialStride } from "../../shaders/optimizer.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { networkOf } from "../../src/network/of.ts";
import type { MatchingBackward } from "../../src/train/backward.ts";
import { matchingChoice, residualBackward } from "../../src/train/backward-of.ts";
import { allocateAll, gradientBuffers, planPackings, residualBuffers } from "../../src/train/buffers.ts";
import { expect, expectClose, test } from "../suite.ts";
import { asGpu, uniformArray } from "./inputs.ts";
import { expectMatchingGradients } from "./matching-gradients.ts";

const shapes: [string, pf.MlpOptions, number][] = [
  ["one sample, no hidden layer", { dim: 2, hidden: [] }, 1],
  ["rows that fill no tile, time first", { dim: 3, hidden: [35, 3], inputOrder: "t,x", activation: "tanh" }, 65],
  ["dim 16, Fourier time", { dim: 16, hidden: [40], time: { fourier: 3 }, activation: "gelu" }, 131],
  ["classes and context", { dim: 2, hidden: [9], classes: 3, context: 2, activation: "elu" }, 97],
  ["more than 64 wide", { dim: 2, hidden: [67], activation: "sin" }, 33],
  ["8 × 8 sums of an invocation", { dim: 2, hidden: [41, 41] }, 35],
];

for (const [name, options, n] of shapes)
  test(`on a GPU's tiles flow-matching loss and gradients agree with the f64 oracle: ${name}`, async () => {
    using gpu = await asGpu();
    await expectMatchingGradients(gpu, options, n);
  });

/** Squares and gradient's copies, from the same rows and weights. */
async function gradientBy(
  gpu: pf.Gpu,
  velocity: pf.MlpVelocity | pf.NetworkVelocity,
  how: MatchingBackward,
  count: number,
  maxFlops: number,
) {
  const made = networkOf(velocity);
  const { dim, classes, context, parameterCount } = made;
  const capacity = 64 * Math.ceil(count / 64);
  const arena = new Arena(gpu.current);
  const parameters = initialParameters(made, 3).map((value, i) => value + 0.05 * Math.sin(i));
  const copies = how.copies(capacity);
  try {
    await arena.allocate("parameters", 4 * parameterCount, parameters);
    await allocateAll(arena, [
      ...gradientBuffers(how, velocity, capacity),
      ...residualBuffers(velocity, capacity, true),
    ]);
    const fill = (name: string, rows: number, seed: number) =>
      gpu.device.queue.writeBuffer(
        arena.buffer(name),
        0,
        Float32Array.from(uniformArray(rows * capacity, -1, 1, seed)),
      );
    fill("h0", dim + 1 + classes + context, 1);
    fill("target", dim + 1, 2);
    const batch = { capacity, count, maxFlops, weighted: true };
    const run = async (dispatches: ReturnType<MatchingBackward["residual"]>) => {
      await arena.submit(dispatches);
      return new Float32Array(await readBack(gpu.current, arena.buffer("squares"), 4 * capacity));
    };
    const forward = await run([...planPackings(how), ...how.squares(batch)]);
    const squares = await run(how.residual(batch));
    const stride = partialStride(parameterCount);
    const padded = new Float32Array(await readBack(gpu.current, arena.buffer("partials"), 4 * copies * stride));
    // what is behind the parameters of a copy is nobody's
    const partials = padded.filter((_, i) => i % stride < parameterCount);
    const gradient = new Float64Array(parameterCount);
    for (const [i, value] of partials.entries())
      gradient[i % parameterCount] = (gradient[i % parameterCount] ?? 0) + value;
    return { forward, squares, partials, gradient, copies, dispatches: how.residual(batch).length };
  } finally {
    arena.release();
  }
}

const velocities = {
  "an mlp, segments of several tiles": pf.mlp({ dim: 2, hidden: [20] }),
  "a residual network": pf.network({ dim: 2, classes: 3 }, ({ x, t, label }) => {
    const h = pf.linear(pf.concat(t, x), 12, "in");
    const more = pf.linear(pf.activate(pf.layerNorm(h, "norm"), "silu"), 12, "more");
    return pf.linear(pf.add(h, pf.multiply(more, pf.linear(label, 12, "scale"))), 2, "out");
  }),
  "three residual blocks, which are turns of a loop": pf.residualMlp({ dim: 2, width: 8, blocks: 3 }),
};
for (const [name, velocity] of Object.entries(velocities))
  test(
    `on a GPU's tiles flow-matching gradients are those of layer after layer, with the same bits in parts: ${name}`,
    async () => {
      using gpu = await asGpu();
      const tiles = (await matchingChoice({ gpu }))(velocity);
      const n = velocity.kind === "mlp" ? 16_601 : 611;
      const got = await gradientBy(gpu, velocity, tiles, n, 1e15);
      const parts = await gradientBy(gpu, velocity, tiles, n, 1);
      expect(got.dispatches).toBe(1);
      expect(parts.dispatches).toBe(got.copies);
      expectClose(parts.partials, got.partials, { absolute: 0 });
      expectClose(parts.squares, got.squares, { absolute: 0 });
      const layers = await gradientBy(gpu, velocity, residualBackward({ gpu }, velocity), n, 1e15);
      expectClose(got.squares, layers.squares, { relative: 2e-6, absolute: 1e-6 });
      expectClose(got.forward, got.squares, { relative: 2e-6, absolute: 1e-6 });
      const size = Math.sqrt(layers.gradient.reduce((sum, value) => sum + value * value, 0));
      expectClose(got.gradient, layers.gradient, { absolute: 1e-6 * size });
    },
    { timeoutSeconds: 600 },
  );

test("on a GPU's tiles Jᵀ·w is that of layer after layer, with guidance, several tiles after each other, and whatever the chunks", async ({
  gpu,
}) => {
  using tiles = await asGpu();
  const velocity = pf.mlp({ dim: 3, hidden: [20, 9], classes: 4 });
  const n = 33_001;
  const x = uniformArray(3 * n, -2, 2, 1);
  const w = uniformArray(3 * n, -1, 1, 2);
  const t = uniformArray(n, 0, 1, 3);
  const options = { labels: Uint32Array.from({ length: n }, (_, i) => i % 4), guidance: 2.5 };
  using layers = pf.Flow.create(gpu, { velocity, seed: 3 });
  const wanted = await layers.vjp(x, t, w, options);
  using flow = pf.Flow.create(tiles, { velocity, seed: 3 });
  const got = await flow.vjp(x, t, w, options);
  expectClose(got.velocity, wanted.velocity, { relative: 1e-5, absolute: 1e-6 });
  expectClose(got.vjp, wanted.vjp, { relative: 1e-5, absolute: 1e-6 });
  expect(await flow.vjp(x, t, w, { ...options, chunkSize: 1501 })).toEqual(got);
});
