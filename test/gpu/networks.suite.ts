import * as pf from "pushforward";
import {
  type NetworkSpec,
  type NetworkWeights,
  networkAt,
  networkDerivatives,
  weightDerivative,
} from "../oracle/network.ts";
import { expect, expectClose, test } from "../suite.ts";
import { asGpu, conditionsFor, forRows, generator, rowOf, uniformArray } from "./inputs.ts";

/** A gated network: SwiGLU (Shazeer 2020) in residual blocks with RMS norm. */
function gated(width: number): pf.NetworkVelocity {
  return pf.network({ dim: 3 }, ({ x, t }) => {
    let h = pf.linear(pf.concat(t, x), width, "in");
    for (const k of [0, 1]) {
      const n = pf.rmsNorm(h, `${k}.norm`);
      const gate = pf.activate(pf.linear(n, width, `${k}.gate`, { bias: false }), "silu");
      h = pf.add(
        h,
        pf.linear(pf.multiply(gate, pf.linear(n, width, `${k}.value`, { bias: false })), width, `${k}.out`),
      );
    }
    return pf.linear(h, 3, "out");
  });
}

/** The example of docs/guide/networks.md: Fourier features, an embedding of time and label, and blocks that it scales and shifts. */
function modulated(width: number, scale = 4): pf.NetworkVelocity {
  return pf.network({ dim: 2, classes: 3 }, ({ x, t, label }) => {
    const when = pf.activate(
      pf.linear(pf.concat(pf.fourier(t, { frequencies: [[1], [2], [4]] }), label), width, "when"),
      "silu",
    );
    let h = pf.linear(pf.concat(x, pf.fourier(x, { count: 32, scale, seed: 1 })), width, "in");
    for (const k of [0, 1]) {
      const m = pf.linear(when, 2 * width, `blocks.${k}.modulation`);
      const n = pf.layerNorm(h, `blocks.${k}.norm`);
      const f = pf.add(n, pf.multiply(n, pf.slice(m, 0, width)), pf.slice(m, width, 2 * width));
      h = pf.add(
        h,
        pf.linear(pf.activate(pf.linear(f, width, `blocks.${k}.fc1`), "silu"), width, `blocks.${k}.fc2`, {
          initial: "zero",
        }),
      );
    }
    return pf.linear(h, 2, "out");
  });
}

/** Every layer sees what all before it made (Huang et al. 2017). */
function dense(width: number): pf.NetworkVelocity {
  return pf.network({ dim: 2, context: 1 }, ({ x, t, context }) => {
    let h = pf.concat(pf.shift(x, -0.25), pf.shift(pf.scale(t, -0.5), 1), context);
    for (const k of [0, 1, 2])
      h = pf.concat(h, pf.activate(pf.linear(h, Math.floor(width / 4), `layers.${k}`), "selu"));
    return pf.linear(h, 2, "out");
  });
}

const networks: Record<string, (width: number) => pf.NetworkVelocity | pf.MlpVelocity> = {
  residualMlp: (width) => pf.residualMlp({ dim: 2, width, blocks: 2, classes: 3, context: 2 }),
  concatSquash: (width) => pf.concatSquash({ dim: 3, hidden: [width, width] }),
  "the example": (width) => modulated(width),
  "a gated network": gated,
  "a densely connected network": dense,
  "an mlp with Fourier features": (width) =>
    pf.mlp({
      dim: 2,
      hidden: [width],
      features: { fourier: { count: 4, seed: 3 } },
      time: { fourier: 2 },
      inputOrder: "t,x",
    }),
};

const specOf = (velocity: pf.NetworkVelocity | pf.MlpVelocity): NetworkSpec => {
  if (velocity.kind === "network") return velocity as unknown as NetworkSpec;
  const { inputOrder: _, kind: __, hidden, activation, time, features, ...sizes } = velocity;
  const same = pf.network(sizes, ({ x, t }) => {
    const waves =
      time === "concat"
        ? t
        : pf.concat(...Array.from({ length: time.fourier }, (_, j) => pf.fourier(t, { frequencies: [[j + 1]] })));
    let h = pf.concat(waves, x, ...(features ? [pf.fourier(x, features.fourier)] : []));
    for (const [l, width] of hidden.entries()) h = pf.activate(pf.linear(h, width, `net.${2 * l}`), activation);
    return pf.linear(h, sizes.dim, `net.${2 * hidden.length}`);
  });
  return same as unknown as NetworkSpec;
};

/** A flow whose weights are none of the special ones that it begins with. */
async function flowOf(gpu: pf.Gpu, velocity: pf.NetworkVelocity | pf.MlpVelocity) {
  const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
  const weights = await flow.weights();
  const next = generator(5);
  for (const values of Object.values(weights))
    for (let i = 0; i < values.length; i++)
      values[i] = (values[i] ?? 0) + (next() - 0.5) / Math.sqrt(values.length / 20 + 1);
  flow.setWeights(weights);
  return { flow, weights };
}

/** Velocity, divergence, J·v and Jᵀ·v of a network on a device, beside those in f64: at times of the rows' own, or at one time. */
async function expectDerivatives(
  gpu: pf.Gpu,
  velocity: pf.NetworkVelocity | pf.MlpVelocity,
  time?: number,
): Promise<void> {
  const { dim } = velocity;
  const spec = specOf(velocity);
  const n = 33;
  const { flow, weights } = await flowOf(gpu, velocity);
  const x = uniformArray(n * dim, -1.5, 1.5, 1);
  const times = uniformArray(n, 0, 1, 2);
  const t = time ?? times;
  const v = uniformArray(n * dim, -1, 1, 3);
  const { options, conditionOf } = conditionsFor(velocity, n, 4);
  const wanted = Array.from({ length: n }, (_, i) =>
    networkDerivatives(spec, weights, time ?? times[i] ?? 0, rowOf(x, dim, i), rowOf(v, dim, i), conditionOf(i)),
  );
  const all = (key: "velocity" | "jvp" | "vjp" | "divergence") => forRows(n, (i) => wanted[i]?.[key] ?? Number.NaN);
  const tolerance = (key: Parameters<typeof all>[0]) => ({
    relative: 1e-5,
    absolute: 1e-5 * Math.max(1, ...[...all(key)].map(Math.abs)),
  });
  expectClose(await flow.velocity(x, t, options), all("velocity"), tolerance("velocity"));
  const exact = await flow.divergence(x, t, { ...options, divergence: "exact" });
  expectClose(exact, all("divergence"), tolerance("divergence"));
  const forward = await flow.jvp(x, t, v, options);
  expectClose(forward.jvp, all("jvp"), tolerance("jvp"));
  // whose kernels know no one time
  if (time === undefined) {
    const backward = await flow.vjp(x, t, v, options);
    expectClose(backward.vjp, all("vjp"), tolerance("vjp"));
  }
  flow.dispose();
}

for (const [name, make] of Object.entries(networks))
  for (const width of [48, 160])
    test(`velocity, divergence, jvp and vjp of any network agree with the f64 oracle: ${name}, width ${width}`, ({
      gpu,
    }) => expectDerivatives(gpu, make(width)));

for (const [name, make] of Object.entries(networks).slice(0, 2))
  test(`derivatives at one time for all rows agree with the f64 oracle, too, also on a GPU's tiles: ${name}`, async ({
    gpu,
  }) => {
    await expectDerivatives(gpu, make(13), 0.25);
    using tiles = await asGpu();
    await expectDerivatives(tiles, make(13), 0.25);
  });

const onTiles: Record<string, pf.NetworkVelocity | pf.MlpVelocity> = {
  ...Object.fromEntries(Object.entries(networks).map(([name, make]) => [name, make(13)])),
  "an mlp": pf.mlp({ dim: 5, hidden: [35, 3], inputOrder: "t,x" }),
  "slices of the label and the context": pf.network({ dim: 2, classes: 3, context: 3 }, ({ x, t, label, context }) => {
    const inner = pf.activate(
      pf.linear(pf.concat(x, t, pf.slice(label, 2, 3), pf.slice(context, 1, 3)), 4, "in"),
      "tanh",
    );
    return pf.add(pf.linear(inner, 2, "out"), pf.multiply(pf.slice(context, 1, 3), pf.slice(label, 1, 3)));
  }),
};
for (const [name, velocity] of Object.entries(onTiles))
  test(
    `on a GPU's tiles derivatives agree with the f64 oracle, too: ${name}`,
    async () => {
      using gpu = await asGpu();
      await expectDerivatives(gpu, velocity);
    },
    // lavapipe takes a minute to compile Jᵀ·w of two residual blocks
    { timeoutSeconds: 600 },
  );
test("on a GPU's tiles derivatives agree with the f64 oracle, too: without subgroups", async () => {
  using gpu = await asGpu([]);
  await expectDerivatives(gpu, gated(7));
});

/** Some numbers of each tensor. */
function* someWeights(weights: NetworkWeights): Generator<[name: string, index: number]> {
  const next = generator(11);
  for (const [name, values] of Object.entries(weights))
    for (const index of new Set([0, values.length - 1, Math.floor(next() * values.length)])) yield [name, index];
}

/** Gradients of both trainings, beside differences in f64. */
async function expectGradients(gpu: pf.Gpu, velocity: pf.NetworkVelocity | pf.MlpVelocity): Promise<void> {
  const { dim } = velocity;
  const spec = specOf(velocity);
  const { flow, weights } = await flowOf(gpu, velocity);
  const n = 5;
  const [x0, x1, t] = [uniformArray(n * dim, -1, 1, 1), uniformArray(n * dim, -1, 1, 2), uniformArray(n, 0, 1, 3)];
  const { options, conditionOf } = conditionsFor(velocity, n, 4);
  const zero = new Float64Array(dim);
  const matching = (given: NetworkWeights) => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const time = t[i] ?? 0;
      const at = Array.from(
        { length: dim },
        (_, k) => time * (x1[i * dim + k] ?? 0) + (1 - time) * (x0[i * dim + k] ?? 0),
      );
      const { velocity: u } = networkAt(spec, given, time, at, zero, conditionOf(i));
      for (let k = 0; k < dim; k++) sum += ((u[k] ?? 0) - ((x1[i * dim + k] ?? 0) - (x0[i * dim + k] ?? 0))) ** 2;
    }
    return sum / (n * dim);
  };
  const fm = await pf.flowMatchingGradients(flow, { x0, x1, t, ...options });
  expectClose([fm.loss], [matching(weights)], { relative: 1e-5 });
  const steps = 2;
  /** −mean log p by Euler's backward steps from t = 1. */
  const likelihood = (given: NetworkWeights) => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const y = Float64Array.from(rowOf(x1, dim, i));
      let integral = 0;
      for (let k = 0; k < steps; k++) {
        const u = networkDerivatives(spec, given, 1 - k / steps, y, zero, conditionOf(i));
        integral += u.divergence / steps;
        for (let j = 0; j < dim; j++) y[j] = (y[j] ?? 0) - (u.velocity[j] ?? 0) / steps;
      }
      sum += y.reduce((total, value) => total - 0.5 * value * value - 0.5 * Math.log(2 * Math.PI), 0) - integral;
    }
    return -sum / n;
  };
  const solver = { method: "euler", steps } as const;
  const ml = await pf.likelihoodGradients(flow, x1, { ...options, solver, divergence: "exact" });
  expectClose([ml.loss], [likelihood(weights)], { relative: 2e-5 });
  for (const [what, got, f] of [
    ["flow matching", fm.gradients, matching],
    ["likelihood", ml.gradients, likelihood],
  ] as const) {
    const largest = Math.max(...Object.values(got).flatMap((values) => [...values].map(Math.abs)));
    const chosen = [...someWeights(weights)];
    expectClose(
      chosen.map(([tensor, index]) => got[tensor]?.[index] ?? Number.NaN),
      chosen.map(([tensor, index]) => weightDerivative(weights, tensor, index, f)),
      { relative: 2e-4, absolute: 2e-4 * largest },
    );
    expect(`${what}: ${Object.keys(got).length}`).toBe(`${what}: ${Object.keys(weights).length}`);
  }
  flow.dispose();
}

for (const [name, make] of Object.entries(networks))
  test(`both training gradients of any network agree with differences in f64: ${name}`, ({ gpu }) =>
    expectGradients(gpu, make(24)));
test("both training gradients of an mlp agree with differences in f64: on a GPU", async () => {
  using gpu = await asGpu();
  await expectGradients(gpu, pf.mlp({ dim: 2, hidden: [12, 9], inputOrder: "t,x", activation: "tanh" }));
});

/** Trajectories between the null class and each one's own, and log p along them, beside steps in f64. */
async function expectGuided(gpu: pf.Gpu, width: number): Promise<void> {
  // slow waves: fast ones make the solution so sensitive that f32 and f64 part
  const velocity = modulated(width, 0.3);
  const spec = specOf(velocity);
  const { flow, weights } = await flowOf(gpu, velocity);
  const n = 9;
  const x = uniformArray(n * 2, -1, 1, 1);
  const { options, conditionOf } = conditionsFor(velocity, n, 4);
  const guidance = 1.5;
  const steps = 3;
  const field = (t: number, y: ArrayLike<number>, i: number) => {
    const zero = [0, 0];
    const [a, b] = [{}, conditionOf(i)].map((given) => networkDerivatives(spec, weights, t, y, zero, given));
    if (!a || !b) throw new Error("two branches");
    const mixed = (p: number, q: number) => (1 - guidance) * p + guidance * q;
    return {
      velocity: a.velocity.map((value, k) => mixed(value, b.velocity[k] ?? Number.NaN)),
      divergence: mixed(a.divergence, b.divergence),
    };
  };
  const wanted = Array.from({ length: n }, (_, i) => {
    let y = Float64Array.from(rowOf(x, 2, i));
    let logProb = y.reduce((sum, value) => sum - 0.5 * value * value - 0.5 * Math.log(2 * Math.PI), 0);
    for (let k = 0; k < steps; k++) {
      const h = 1 / steps;
      const first = field(k * h, y, i);
      const middle = field(
        (k + 0.5) * h,
        y.map((value, j) => value + 0.5 * h * (first.velocity[j] ?? 0)),
        i,
      );
      y = y.map((value, j) => value + h * (middle.velocity[j] ?? 0));
      logProb -= h * middle.divergence;
    }
    return { y, logProb };
  });
  const solver = { method: "midpoint", steps } as const;
  const got = await flow.push(x, { ...options, guidance, solver, logProb: true, divergence: "exact" });
  const tolerance = (values: ArrayLike<number>) => ({
    relative: 2e-5,
    absolute: 2e-5 * Math.max(1, ...Array.from(values, Math.abs)),
  });
  const [states, densities] = [
    forRows(n, (i) => wanted[i]?.y ?? []),
    forRows(n, (i) => wanted[i]?.logProb ?? Number.NaN),
  ];
  expectClose(got.x, states, tolerance(states));
  expectClose(got.logProb ?? [], densities, tolerance(densities));
  flow.dispose();
}

for (const width of [24, 136])
  test(`guided trajectories and log p of a network agree with steps in f64: width ${width}`, ({ gpu }) =>
    expectGuided(gpu, width));
test("guided trajectories and log p of a network agree with steps in f64: on a GPU's tiles", async () => {
  using gpu = await asGpu();
  await expectGuided(gpu, 9);
});

test("a network is saved and loaded with the same bits, and trains", async ({ gpu }) => {
  const { flow } = await flowOf(gpu, modulated(24));
  const bytes = await flow.save();
  const again = pf.Flow.load(gpu, bytes);
  expect(again.velocitySpec).toEqual(flow.velocitySpec);
  expect(await again.weights()).toEqual(await flow.weights());
  const labels = Uint32Array.from({ length: 8 }, (_, i) => i % 3);
  const solve = { labels, guidance: 2, seed: 1, logProb: true } as const;
  expect(await again.sample(8, solve)).toEqual(await flow.sample(8, solve));
  const data = uniformArray(200, -1, 1, 1);
  for await (const step of pf.trainFlowMatching(again, data, {
    labels: Uint32Array.from({ length: 100 }, (_, i) => i % 3),
    steps: 3,
    batchSize: 32,
    logEvery: 1,
  }))
    expect(Number.isFinite(step.loss)).toBe(true);
  again.dispose();
  flow.dispose();
});
