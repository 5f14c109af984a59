import * as pf from "pushforward";
import { adaptive, dopri5 } from "../oracle/dopri5.ts";
import { type ClosedForm, eightGaussians, gaussian, linear, rotation } from "../oracle/fields.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { standardLogDensity } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { conditionsFor, forRows, rowOf, uniformArray } from "./inputs.ts";

const { done, stepLimit, stepUnderflow, nonFinite } = pf.solveStatus;
const solver = { method: "dopri5", rtol: 1e-5, atol: 1e-5 } as const;

function flowOf(gpu: pf.Gpu, field: ClosedForm): pf.Flow {
  return pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: field.dim, code: field.wgsl ?? "" }) });
}

const statuses = (solved: { status?: Uint8Array }) => [...(solved.status ?? [])];

test("dopri5 takes the steps and makes the errors of the f64 reference on the eight Gaussians", async ({ gpu }) => {
  const flow = flowOf(gpu, eightGaussians);
  const x0 = Float32Array.of(0.5, 0.2);
  for (const [tolerance, evaluations, errorX, errorLogProb] of [
    [1e-3, 50, 4.8e-3, 3.4e-2],
    [1e-5, 92, 5.5e-5, 1.4e-4],
  ] as const) {
    const solved = await flow.push(x0, {
      solver: { method: "dopri5", rtol: tolerance, atol: tolerance },
      logProb: true,
    });
    expect(statuses(solved)).toEqual([done]);
    // a rounding may tip one or two decisions of the step control
    expect(Math.abs(solved.nfe - evaluations) <= 12).toBe(true);
    expect(solved.nfe).toBe(2 + 6 * ((solved.steps?.accepted ?? 0) + (solved.steps?.rejected ?? 0)));
    expectClose(solved.x, [2.2974346027, 0.6540275473], { absolute: 1.5 * errorX });
    expectClose(solved.logProb ?? [], [-4.6694354937], { absolute: 1.5 * errorLogProb });
  }
  flow.dispose();
});

test("every particle is solved as if it were alone: closed forms, forward and backward, with log p", async ({
  gpu,
}) => {
  for (const field of [gaussian([1, -2], 0.5), rotation(Math.PI), linear(3, 0.7), eightGaussians]) {
    const flow = flowOf(gpu, field);
    const n = 101;
    const x = uniformArray(n * field.dim, -1.5, 1.5, 4);
    const forward = await flow.push(x, { solver, logProb: true });
    const wanted = Array.from({ length: n }, (_, i) => {
      const x0 = rowOf(x, field.dim, i);
      return dopri5(field, x0, { rtol: 1e-9, atol: 1e-9, logProb: standardLogDensity(x0) }).y;
    });
    expect(new Set(statuses(forward))).toEqual(new Set([done]));
    // errors of steps held to 1e-5, grown along the flow
    expectClose(
      forward.x,
      forRows(n, (i) => wanted[i]?.slice(0, field.dim) ?? []),
      { relative: 1e-3, absolute: 3e-4 },
    );
    expectClose(
      forward.logProb ?? [],
      forRows(n, (i) => wanted[i]?.[field.dim] ?? Number.NaN),
      { absolute: 2e-3 },
    );
    const back = await flow.logProb(forward.x, { solver });
    expectClose(back.x0, x, { absolute: 2e-3 });
    expectClose(back.logProb, forward.logProb ?? [], { absolute: 4e-3 });
    flow.dispose();
  }
});

const shapes: [string, pf.MlpVelocity][] = [
  ["fused", pf.mlp({ dim: 2, hidden: [16, 16], time: { fourier: 2 } })],
  ["fused, five dimensions", pf.mlp({ dim: 5, hidden: [24], activation: "tanh" })],
  ["layered", pf.mlp({ dim: 3, hidden: [136] })],
];
for (const [name, velocity] of shapes) {
  test(`dopri5 of a network agrees with the f64 reference: ${name}`, async ({ gpu }) => {
    const { dim } = velocity;
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const field = networkField(network({ ...velocity, hidden: [...velocity.hidden] }, await flow.weights()));
    const n = 37;
    const x = uniformArray(n * dim, -2, 2, 5);
    const solved = await flow.push(x, { solver, logProb: true });
    const wanted = Array.from({ length: n }, (_, i) => {
      const x0 = rowOf(x, dim, i);
      return dopri5(field, x0, { ...solver, logProb: standardLogDensity(x0) }).y;
    });
    // the reference takes the same steps, so this is rounding alone, far below the tolerance
    expectClose(
      solved.x,
      forRows(n, (i) => wanted[i]?.slice(0, dim) ?? []),
      { absolute: 1e-5 },
    );
    expectClose(
      solved.logProb ?? [],
      forRows(n, (i) => wanted[i]?.[dim] ?? Number.NaN),
      { absolute: 1e-4 },
    );
    // each probe has its own integral on the same steps
    const probes = { probe: "rademacher", probes: 4 } as const;
    const fine = { method: "dopri5", rtol: 1e-6, atol: 1e-6 } as const;
    const estimated = await flow.logProb(x, { solver: fine, divergence: probes, seed: 2 });
    const fixed = await flow.logProb(x, { solver: { method: "rk4", steps: 40 }, divergence: probes, seed: 2 });
    expectClose(estimated.logProb, fixed.logProb, { absolute: 2e-4 });
    expectClose(estimated.standardError ?? [], fixed.standardError ?? [], { absolute: 2e-4 });
    flow.dispose();
  });

  test(`the bits of a particle depend on no chunk and no neighbour: ${name}`, async ({ gpu }) => {
    const { dim } = velocity;
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const divergence = { probe: "gaussian", probes: 2 } as const;
    const options = { solver, divergence, logProb: true, seed: 1 } as const;
    const whole = await flow.sample(150, options);
    const parts = await flow.sample(150, { ...options, chunkSize: 33 });
    expect(parts.x).toEqual(whole.x);
    expect(parts.logProb).toEqual(whole.logProb);
    expect([parts.nfe, parts.steps]).toEqual([whole.nfe, whole.steps]);
    const poisoned = whole.x.slice();
    poisoned[dim] = Number.NaN;
    const alone = await flow.logProb(whole.x, { solver });
    const beside = await flow.logProb(poisoned, { solver });
    expect(statuses(beside)[1]).toBe(nonFinite);
    const others = (values: Float32Array, width: number) => values.filter((_, i) => Math.floor(i / width) !== 1);
    expect(others(beside.logProb, 1)).toEqual(others(alone.logProb, 1));
    expect(others(beside.x0, dim)).toEqual(others(alone.x0, dim));
    flow.dispose();
  });
}

for (const method of ["bosh3", "tsit5"] as const) {
  for (const [name, velocity] of [
    ...shapes,
    ["WGSL", pf.wgslVelocity({ dim: 2, code: eightGaussians.wgsl ?? "" })] as const,
  ]) {
    test(`${method} takes the steps of the f64 reference: ${name}`, async ({ gpu }) => {
      const { dim } = velocity;
      const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
      const own = velocity.kind === "mlp" ? { ...velocity, hidden: [...velocity.hidden] } : undefined;
      const field = own ? networkField(network(own, await flow.weights())) : eightGaussians;
      const n = 37;
      const x = uniformArray(n * dim, -1.5, 1.5, 5);
      const options = { rtol: 1e-4, atol: 1e-4 };
      const solved = await flow.push(x, { solver: { method, ...options }, logProb: true });
      expect(new Set(statuses(solved))).toEqual(new Set([done]));
      const wanted = Array.from({ length: n }, (_, i) => {
        const x0 = rowOf(x, dim, i);
        return adaptive(method, field, x0, { ...options, logProb: standardLogDensity(x0) });
      });
      const stages = method === "bosh3" ? 4 : 7;
      const { accepted = 0, rejected = 0 } = solved.steps ?? {};
      expect(solved.nfe).toBe(2 + ((stages - 1) * (accepted + rejected)) / n);
      const nfe = wanted.reduce((sum, one) => sum + one.nfe, 0) / n;
      // a rounding may tip a few decisions of the step control, and where it does, errors are those of other steps
      expect(Math.abs(solved.nfe / nfe - 1)).toBeLessThan(0.02);
      const close = own ? 1 : 100;
      expectClose(
        solved.x,
        forRows(n, (i) => wanted[i]?.y.slice(0, dim) ?? []),
        { absolute: 1e-5 * close },
      );
      expectClose(
        solved.logProb ?? [],
        forRows(n, (i) => wanted[i]?.y[dim] ?? Number.NaN),
        { absolute: 1e-4 * close },
      );
      const parts = await flow.push(x, { solver: { method, ...options }, logProb: true, chunkSize: 17 });
      expect([parts.x, parts.logProb, parts.nfe]).toEqual([solved.x, solved.logProb, solved.nfe]);
      flow.dispose();
    });
  }

  test(`${method} keeps to its tolerance, forward and backward, and lands on times to save`, async ({ gpu }) => {
    const field = gaussian([1, -2], 0.5);
    const flow = flowOf(gpu, field);
    const n = 33;
    const x = uniformArray(2 * n, -1.5, 1.5, 4);
    const saveAt = [0, 0.123, 0.5, 1];
    const own = { method, rtol: 1e-5, atol: 1e-5 } as const;
    const solved = await flow.push(x, { solver: own, logProb: true, saveAt });
    for (const [k, t] of saveAt.entries()) {
      // ψ_t(x_0) = t m + √v x_0, v = (1 − t)² + t² s²
      const root = Math.sqrt((1 - t) ** 2 + t ** 2 * 0.25);
      const wanted = forRows(n, (i) => [t + root * (x[2 * i] ?? 0), -2 * t + root * (x[2 * i + 1] ?? 0)]);
      expectClose(solved.saved?.subarray(2 * n * k, 2 * n * (k + 1)) ?? [], wanted, { absolute: 2e-4 });
    }
    const back = await flow.logProb(solved.x, { solver: own });
    expectClose(back.x0, x, { absolute: 4e-4 });
    expectClose(back.logProb, solved.logProb ?? [], { absolute: 1e-3 });
    flow.dispose();
  });
}

test("adaptive steps land on every time to save, with log p, and what is saved at the end is the result", async ({
  gpu,
}) => {
  const field = gaussian([1, -2], 0.5);
  const flow = flowOf(gpu, field);
  const n = 33;
  const x = uniformArray(2 * n, -1.5, 1.5, 4);
  // more times than any method has stages
  const saveAt = [0, 0.05, 0.123, 0.2, 0.3, 0.4, 0.5, 0.501, 0.9, 1];
  for (const method of ["bosh3", "dopri5", "tsit5"] as const) {
    const solved = await flow.push(x, { solver: { ...solver, method }, logProb: true, saveAt });
    expect([...(solved.times ?? [])]).toEqual(saveAt);
    for (const [k, t] of saveAt.entries()) {
      // ψ_t(x_0) = t m + √v x_0, v = (1 − t)² + t² s²; log p falls by log √v per dimension
      const root = Math.sqrt((1 - t) ** 2 + t ** 2 * 0.25);
      const wanted = forRows(n, (i) => [t + root * (x[2 * i] ?? 0), -2 * t + root * (x[2 * i + 1] ?? 0)]);
      expectClose(solved.saved?.subarray(2 * n * k, 2 * n * (k + 1)) ?? [], wanted, { absolute: 1e-4 });
      const logProb = forRows(n, (i) => standardLogDensity(rowOf(x, 2, i)) - 2 * Math.log(root));
      expectClose(solved.savedLogProb?.subarray(n * k, n * (k + 1)) ?? [], logProb, { absolute: 2e-4 });
    }
    expect(solved.saved?.slice(2 * n * (saveAt.length - 1))).toEqual(solved.x);
    const back = await flow.push(solved.x, { solver, from: 1, to: 0.2, saveAt: [0.7, 0.2] });
    expect(back.saved?.slice(2 * n)).toEqual(back.x);
  }
  flow.dispose();
});

test("labels, context and guidance stay with their particles while others finish", async ({ gpu }) => {
  const spec = { dim: 2, hidden: [8], classes: 3, context: 2 };
  for (const velocity of [pf.mlp(spec), pf.mlp({ ...spec, hidden: [136] })]) {
    const flow = pf.Flow.create(gpu, { velocity, seed: 5 });
    const n = 70;
    const x = uniformArray(2 * n, -3, 3, 8);
    const { options } = conditionsFor(spec, n, 3);
    const call = { ...options, guidance: 1.5, divergence: "exact" } as const;
    const adaptive = await flow.logProb(x, { ...call, solver });
    const fixed = await flow.logProb(x, { ...call, solver: { method: "rk4", steps: 30 } });
    expectClose(adaptive.x0, fixed.x0, { absolute: 1e-4 });
    expectClose(adaptive.logProb, fixed.logProb, { absolute: 3e-4 });
    flow.dispose();
  }
});

test("stiff fields, poles and step limits end with a status, the last state and what the others need", async ({
  gpu,
}) => {
  // x′ = x² has its pole at t = 1/x₀; the second component tells how stiff x′ = −λ(x − cos t) is
  const code = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
    return array<f32, DIM>(x[0] * x[0], -x[2] * (x[1] - cos(t)), 0.0);
  }`;
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 3, code }) });
  const x = Float32Array.of(0.5, 0, 1, 2, 0, 1, 0.1, 0.5, 3000, Number.NaN, 0, 1);
  const solved = await flow.push(x, { solver: { ...solver, maxSteps: 100_000 } });
  const [tame, pole, stiff, nan] = statuses(solved);
  expect([tame, stiff, nan]).toEqual([done, done, nonFinite]);
  expect(pole === stepUnderflow || pole === nonFinite).toBe(true);
  expectClose(solved.x.slice(0, 1), [1], { absolute: 1e-4 }); // 1/(1/x₀ − 1)
  expect(solved.x[3]).toBeGreaterThan(100);
  expect(solved.steps?.most).toBeGreaterThan(500); // stability, not accuracy, limits the stiff one
  const limited = await flow.push(x, { solver: { ...solver, maxSteps: 20 } });
  expect(statuses(limited).slice(0, 3)).toEqual([done, stepLimit, stepLimit]);
  expect(limited.steps?.most).toBe(20);
  expect(limited.x.slice(0, 3)).toEqual(solved.x.slice(0, 3));
  flow.dispose();
});

test("streams, reductions and results on the device take dopri5 too; an abort ends it", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 3 });
  const whole = await flow.sample(500, { solver, seed: 1 });
  const parts: number[] = [];
  for await (const { x, status } of flow.sampleStream(500, { solver, seed: 1, chunkSize: 128 })) {
    parts.push(...x);
    expect(new Set(status)).toEqual(new Set([done]));
  }
  expect(Float32Array.from(parts)).toEqual(whole.x);
  const { mean } = await flow.moments(500, { solver, seed: 1 });
  const sum = whole.x.reduce((all, value, i) => all + (i % 2 === 0 ? value : 0), 0);
  expectClose([mean[0] ?? 0], [sum / 500], { absolute: 1e-6 });
  const resident = await flow.sample(10, { solver, seed: 1, output: "gpu" });
  expect(resident.x.size >= 80).toBe(true);
  expect(statuses(resident)).toEqual(new Array(10).fill(done));
  resident.x.destroy();
  resident.x0?.destroy();
  const none = await flow.push(new Float32Array(4), { solver, from: 0.5, to: 0.5 });
  expect([none.nfe, ...none.x]).toEqual([0, 0, 0, 0, 0]);
  const stop = new AbortController();
  const call = flow.sample(50_000, { solver: { ...solver, rtol: 1e-6, atol: 1e-8 }, signal: stop.signal });
  stop.abort(new Error("enough"));
  expect(await call.then(String, (error: Error) => error.message)).toBe("enough");
  flow.dispose();
});

test("bad tolerances and what an adaptive solve cannot do are told in words", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16] }), seed: 3 });
  const told = (options: pf.SampleOptions) => flow.sample(3, options).then(String, (error: Error) => error.message);
  const method = "dopri5";
  expect(await told({ solver: { method, rtol: 1e-9 } })).toMatch(/solver\.rtol is 1e-9/);
  expect(await told({ solver: { method, atol: 0 } })).toMatch(/solver\.atol is 0/);
  expect(await told({ solver: { method, maxSteps: 0 } })).toMatch(/solver\.maxSteps is 0/);
  expect(await told({ solver: { method, steps: 3 } as unknown as pf.Solver })).toMatch(/steps/);
  expect(await told({ solver: { method }, saveAt: "steps" })).toMatch(/every particle has steps of its own/);
  expect(await told({ solver: { method }, saveAt: [1.5] })).toMatch(/save between 0 and 1/);
  expect(await told({ solver: { method }, precision: "f16" })).toMatch(/dopri5 would take its rounding for error/);
  const training = pf.likelihoodGradients(flow, new Float32Array(2), { solver: { method }, divergence: "exact" });
  expect(await training.then(String, (error: Error) => error.message)).toMatch(/gradient is that of fixed steps/);
  flow.dispose();
});
