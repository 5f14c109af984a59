import * as pf from "pushforward";
import { network } from "../oracle/mlp.ts";
import { type NetworkSpec, networkDerivatives } from "../oracle/network.ts";
import { guided, networkField } from "../oracle/network-field.ts";
import { type Field, logLikelihoodRows, pushRows, timesOf } from "../oracle/ode.ts";
import { expect, test } from "../suite.ts";
import { asGpu, conditionsFor, forRows, rowOf, strengthen, uniformArray } from "./inputs.ts";
import { withMatrices } from "./matrices.ts";

/** Half the unit in the last place of f16 at 1. */
const rounding = 2 ** -11;

const half = "shader-f16";
const hasHalf = (gpu: pf.Gpu) => gpu.info.features.includes(half);

/** Fails unless a call says that there is no f16 here, and what to do. */
async function expectUnsupported(call: Promise<unknown>, why: RegExp): Promise<void> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect((error as { code?: string } | undefined)?.code).toBe("unsupported");
  expect(why.test((error as Error).message)).toBe(true);
}

/** The largest difference, as a part of the largest wanted value. */
function worst(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < wanted.length; i++) {
    // a NaN must not pass as a small error
    const difference = Math.abs((got[i] ?? Number.NaN) - (wanted[i] ?? Number.NaN));
    error = Number.isFinite(difference) ? Math.max(error, difference) : Number.POSITIVE_INFINITY;
    size = Math.max(size, Math.abs(wanted[i] ?? Number.NaN));
  }
  return error / size;
}

const n = 65;
const activations = ["silu", "tanh", "softplus", "gelu", "elu", "relu", "sin"] as const;
const shapes: Record<string, pf.MlpOptions> = {
  // the first is as large as a network of the README
  ...Object.fromEntries(
    activations.map((activation, i) => [
      activation,
      { dim: 2, hidden: i === 0 ? [64, 64, 64] : [32, 32], activation } satisfies pf.MlpOptions,
    ]),
  ),
  "width 128": { dim: 3, hidden: [128, 100] },
  "one layer, Fourier time": { dim: 5, hidden: [13], time: { fourier: 2 } },
};

for (const [name, options] of Object.entries(shapes)) {
  test(`f16, ${name}: velocity, trajectory and log p stay near the f64 oracle, or the device is said to lack it`, async ({
    gpu,
  }) => {
    const { dim } = options;
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp(options), seed: 4 });
    const x = uniformArray(n * dim, -2, 2, 1);
    try {
      if (!hasHalf(gpu)) {
        await expectUnsupported(flow.push(x, { precision: "f16" }), /shader-f16.*pass "f32"/);
        return;
      }
      const field = networkField(network(flow.velocitySpec as pf.MlpVelocity, await flow.weights()));
      const one = { method: "euler", steps: 1 } as const;
      const step = await flow.push(x, { solver: one, precision: "f16" });
      const velocity = step.x.map((value, i) => value - (x[i] ?? 0));
      const wanted = forRows(n, (i) => field.velocity(0, rowOf(x, dim, i)));
      // f16's own rounding must be visible: f32 would be a thousand times nearer
      expect(worst(velocity, wanted)).toBeGreaterThan(rounding / 100);
      expect(worst(velocity, wanted)).toBeLessThan(0.01);
      // the tableaux share one text; two of them are enough for six of the networks
      for (const method of name === "tanh" ? (["midpoint", "heun2", "rk4"] as const) : (["midpoint"] as const)) {
        const solver = { method, steps: 10 };
        const { x: end } = await flow.push(x, { solver, precision: "f16" });
        const oracle = pushRows(field, x, method, timesOf(0, 1, 10));
        expect(worst(end, oracle.x)).toBeLessThan(0.005);
      }
      const solver = { method: "midpoint", steps: 10 } as const;
      const { logProb } = await flow.logProb(x, { solver, precision: "f16" });
      const likelihood = logLikelihoodRows(field, x, "midpoint", timesOf(1, 0, 10));
      expect(worst(logProb, likelihood.logProb)).toBeLessThan(0.005);
    } finally {
      flow.dispose();
    }
  });
}

test("f16: classes, context, guidance and probes go through it too, and chunks do not matter", async ({ gpu }) => {
  const spec = { dim: 2, hidden: [32, 32], classes: 3, context: 2 } as const;
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ ...spec, hidden: [...spec.hidden] }), seed: 2 });
  const x = uniformArray(n * 2, -2, 2, 3);
  const { options, conditionOf } = conditionsFor(spec, n, 5);
  const solver = { method: "midpoint", steps: 5 } as const;
  const all = { ...options, guidance: 1.5, solver, precision: "f16" } as const;
  try {
    if (!hasHalf(gpu)) {
      await expectUnsupported(flow.push(x, all), /shader-f16/);
      return;
    }
    const net = network(flow.velocitySpec as pf.MlpVelocity, await flow.weights());
    const { x: end } = await flow.push(x, all);
    const wanted = forRows(n, (i) => {
      const field = guided(net, conditionOf(i), 1.5);
      return pushRows(field, rowOf(x, 2, i), "midpoint", timesOf(0, 1, 5)).x;
    });
    expect(worst(end, wanted)).toBeLessThan(0.005);
    const cut = await flow.push(x, { ...all, chunkSize: 17 });
    expect(cut.x.every((value, i) => value === end[i])).toBe(true);
    const probes = { divergence: { probe: "rademacher", probes: 2 }, seed: 9 } as const;
    const half = await flow.logProb(x, { ...options, solver, ...probes, precision: "f16" });
    const full = await flow.logProb(x, { ...options, solver, ...probes });
    expect(worst(half.logProb, full.logProb)).toBeLessThan(0.005);
  } finally {
    flow.dispose();
  }
});

/** Networks, and whether log p is computed, too: adapters in software compile a GPU's kernels for a while. */
const tiled: Record<string, { velocity: pf.MlpVelocity | pf.NetworkVelocity; logs?: "exact" | "probed" }> = {
  "two layers of 20": { velocity: pf.mlp({ dim: 2, hidden: [20, 20] }), logs: "exact" },
  "two layers of 20, probed": { velocity: pf.mlp({ dim: 2, hidden: [20, 20] }), logs: "probed" },
  "three layers of 64": { velocity: pf.mlp({ dim: 2, hidden: [64, 64, 64] }) },
  "layers of 64, without subgroups": { velocity: pf.mlp({ dim: 2, hidden: [64, 64] }) },
  "layers of 128 and 100": { velocity: pf.mlp({ dim: 3, hidden: [128, 100], activation: "tanh" }) },
  "one layer, Fourier time": { velocity: pf.mlp({ dim: 5, hidden: [13], time: { fourier: 2 } }) },
  "a residual network": { velocity: pf.residualMlp({ dim: 2, width: 24, blocks: 1 }) },
  "two layers of 32, by matrices": { velocity: pf.mlp({ dim: 2, hidden: [32, 32] }) },
};
/** Any network in f64, as a field of one particle. */
function fieldOf(velocity: pf.MlpVelocity | pf.NetworkVelocity, weights: Record<string, Float32Array>): Field {
  if (velocity.kind === "mlp") return networkField(network(velocity, weights));
  const spec = velocity as unknown as NetworkSpec;
  const at = (t: number, x: ArrayLike<number>) => networkDerivatives(spec, weights, t, x, x);
  return { dim: velocity.dim, velocity: (t, x) => at(t, x).velocity, divergence: (t, x) => at(t, x).divergence };
}
for (const [name, { velocity, logs }] of Object.entries(tiled))
  test(`f16 on a GPU's tiles, ${name}: trajectories${logs ? " and log p" : ""} stay near f64, or the device is said to lack it`, async () => {
    using gpu = await asGpu();
    if (name.includes("without subgroups")) Object.assign(gpu.info, { features: hasHalf(gpu) ? [half] : [] });
    const matrices = name.includes("by matrices") ? withMatrices(gpu) : undefined;
    const { dim } = velocity;
    const flow = pf.Flow.create(gpu, { velocity, seed: 4 });
    const weights = await strengthen(flow);
    const x = uniformArray(n * dim, -2, 2, 1);
    const steps = (steps: number) => ({ solver: { method: "midpoint", steps }, precision: "f16" }) as const;
    if (!hasHalf(gpu)) {
      await expectUnsupported(flow.push(x, steps(1)), /shader-f16.*pass "f32"/);
      return;
    }
    const field = fieldOf(velocity, weights);
    const moved = (end: ArrayLike<number>) => x.map((value, i) => (end[i] ?? Number.NaN) - value);
    const one = await flow.push(x, steps(1));
    const error = worst(moved(one.x), moved(pushRows(field, x, "midpoint", timesOf(0, 1, 1)).x));
    // f16's own rounding must be visible: f32 would be a thousand times nearer
    expect(error).toBeGreaterThan(rounding / 100);
    expect(error).toBeLessThan(0.005);
    const { x: end } = await flow.push(x, steps(10));
    expect(worst(end, pushRows(field, x, "midpoint", timesOf(0, 1, 10)).x)).toBeLessThan(0.002);
    let logError = 0;
    if (logs === "exact") {
      const { logProb } = await flow.logProb(x, steps(10));
      logError = worst(logProb, logLikelihoodRows(field, x, "midpoint", timesOf(1, 0, 10)).logProb);
    } else if (logs === "probed") {
      const probes = { divergence: { probe: "rademacher", probes: 2 }, seed: 9 } as const;
      const full = await flow.logProb(x, { ...steps(10), ...probes, precision: "f32" });
      logError = worst((await flow.logProb(x, { ...steps(10), ...probes })).logProb, full.logProb);
    }
    expect(logError).toBeLessThan(0.002);
    // the products of a subgroup: a device without subgroups has none
    if (matrices) expect(matrices.kernels()).toBe(gpu.info.features.includes("subgroups") ? 1 : 0);
    // the bits are those of each particle, whatever its neighbours
    const cut = await flow.push(x, { ...steps(10), chunkSize: 17 });
    expect(cut.x.every((value, i) => value === end[i])).toBe(true);
    flow.dispose();
  });

test("f16 is refused where there is no such kernel: wide networks, WGSL fields, unknown words", async ({ gpu }) => {
  const width = gpu.info.software ? 256 : 512;
  const wide = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [width] }) });
  if (gpu.info.software || hasHalf(gpu))
    await expectUnsupported(wide.sample(10, { precision: "f16" }), new RegExp(`up to ${width / 2} wide`));
  wide.dispose();
  const code = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return x; }";
  const field = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code }) });
  await expectUnsupported(field.sample(10, { precision: "f16" }), /wgslVelocity/);
  const word = await field.sample(10, { precision: "f64" as "f32" }).catch((error: Error) => error.message);
  expect(/precision is "f64".*f16/.test(String(word))).toBe(true);
  field.dispose();
});
