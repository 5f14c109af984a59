import { describe, expect, test } from "vitest";
import { type ActivationName, activationFunctions } from "../oracle/activations.ts";
import { centralDifferences, gradientError, relativeError, weightDifferences } from "../oracle/differences.ts";
import { flowMatching, likelihood } from "../oracle/losses.ts";
import { microNetwork } from "../oracle/micro-network.ts";
import {
  divergence,
  evaluate,
  inputVector,
  jvp,
  layerSizes,
  type MlpSpec,
  network,
  reverse,
  vjp,
  zeroGradients,
} from "../oracle/mlp.ts";
import { guided, networkField } from "../oracle/network-field.ts";
import { logLikelihood, type Method, tableaux, timesOf } from "../oracle/ode.ts";
import { erf, erfc, normalCdf } from "../oracle/special.ts";
import { at, dot } from "../oracle/vectors.ts";

const names = Object.keys(activationFunctions) as ActivationName[];
const micro = (name: ActivationName) => {
  const { spec, weights } = microNetwork(name);
  return network(spec, weights);
};

/** Any network with smooth pseudo-random weights. */
function anyNetwork(spec: MlpSpec) {
  const sizes = layerSizes(spec);
  const weights: Record<string, Float64Array> = {};
  for (let l = 0; l + 1 < sizes.length; l++) {
    const [inputs, outputs] = [at(sizes, l), at(sizes, l + 1)];
    weights[`net.${2 * l}.weight`] = Float64Array.from(
      { length: inputs * outputs },
      (_, k) => (1.4 * Math.sin(2 + 5 * l + 1.7 * k * k)) / Math.sqrt(inputs),
    );
    weights[`net.${2 * l}.bias`] = Float64Array.from({ length: outputs }, (_, i) => 0.3 * Math.cos(3 * i + l));
  }
  return { net: network(spec, weights), weights };
}

describe("special functions", () => {
  test("erf has 15 digits", () => {
    // Abramowitz & Stegun table 7.1 and its continuation, recomputed to 20 digits
    expect(
      relativeError(
        [erf(0.5), erf(1), erf(2), erf(3.5)],
        [0.5204998778130465, 0.8427007929497149, 0.9953222650189527, 0.9999992569016276],
      ),
    ).toBeLessThan(1e-15);
    expect(erf(-0.3)).toBe(-erf(0.3));
    expect(erfc(5) / 1.5374597944280349e-12 - 1).toBeCloseTo(0, 13);
    expect(normalCdf(-10) / 7.619853024160527e-24 - 1).toBeCloseTo(0, 12);
    expect(erf(Number.POSITIVE_INFINITY)).toBe(1);
  });
});

describe("activations", () => {
  test.each(names)("%s: derivatives are those of the value", (name) => {
    const { value, first, second } = activationFunctions[name];
    for (const a of [-7.3, -1.1, -0.2, 0.3, 1.7, 6.1]) {
      expect(Math.abs((value(a + 1e-5) - value(a - 1e-5)) / 2e-5 - first(a))).toBeLessThan(1e-9);
      expect(Math.abs((first(a + 1e-5) - first(a - 1e-5)) / 2e-5 - second(a))).toBeLessThan(1e-9);
    }
  });

  test.each(names)("%s stays finite far out on both sides", (name) => {
    const { value, first, second } = activationFunctions[name];
    for (const a of [-800, 800]) expect([value(a), first(a), second(a)].every(Number.isFinite)).toBe(true);
  });
});

describe("the micro-network", () => {
  const rows: [ActivationName, number, number, number, number, number][] = [
    ["silu", -0.1651747037, -0.0457079789, 0.230947665, -0.0138380726, 0.4757334027],
    ["tanh", -0.1123836165, -0.0651604675, 0.0649761634, -0.0008618632, 0.1308141901],
    ["softplus", -0.284932088, -0.1562257024, 0.1793135003, -0.006219685, 0.3648466855],
    ["gelu", -0.2079218156, -0.1194533621, 0.2542390979, -0.026115991, 0.5345941869],
    ["elu", -0.1410847628, -0.2124453695, 0.2626579149, -0.0124724359, 0.5377882658],
    ["sin", -0.1017137909, -0.1130749825, 0.1231777293, -0.0011215436, 0.2474770022],
    ["relu", -0.2426909803, -0.1458940535, 0.2421407763, -0.0198118273, 0.5040933798],
  ];
  test.each(rows)("%s: velocity, divergence and both probes to ten digits", (name, u0, u1, exact, plus, minus) => {
    const net = micro(name);
    const x = [0.3, -0.7];
    const { velocity } = evaluate(net, 0.4, x);
    const got = [
      at(velocity, 0),
      at(velocity, 1),
      divergence(net, 0.4, x),
      divergence(net, 0.4, x, [[1, 1]]),
      divergence(net, 0.4, x, [[1, -1]]),
    ];
    for (const [i, value] of [u0, u1, exact, plus, minus].entries()) expect(at(got, i)).toBeCloseTo(value, 9);
    expect(
      divergence(net, 0.4, x, [
        [1, 1],
        [1, -1],
      ]),
    ).toBeCloseTo(exact, 9);
  });

  const points = [0.3, -0.7, 1.2, 0.4, -0.8, 0.9];
  const gradientRows: [ActivationName, Method, number, number, number, number, number, number][] = [
    ["silu", "euler", 2.585029247, 1.1010957754, 0.097891741, -0.0918387175, -0.4946284447, 46],
    ["silu", "midpoint", 2.579271452, 1.0459194671, 0.0947005589, -0.0817124289, -0.4562196199, 48],
    ["tanh", "euler", 2.4341397082, 0.7322741643, -0.1109625168, 0.0036005918, -0.2073175171, 80],
    ["tanh", "midpoint", 2.4422298946, 0.7378662239, -0.1156091939, 0.0068337974, -0.2416488015, 79],
    ["softplus", "midpoint", 2.6428345902, 1.3729346763, 0.0465031325, -0.093725956, -0.5270022708, 24],
    ["gelu", "midpoint", 2.6137175764, 1.3506975612, 0.1343655757, -0.0733605601, -0.6469827491, 36],
    ["elu", "midpoint", 2.5809514055, 1.3163546362, 0.0297688753, -0.1106629352, -0.6490607777, 42],
    ["sin", "midpoint", 2.4908721756, 0.9989575946, -0.1500305744, 0.0027489187, -0.4100862502, 72],
    ["relu", "midpoint", 2.6519799188, 1.1210743764, 0.0468044755, -0.0983561811, -0.5077016486, 0],
  ];
  test.each(gradientRows)(
    "%s, %s: NLL of three points and its gradient to nine digits",
    (name, method, nll, norm, w, b, v, lost) => {
      const net = micro(name);
      const options = { method, times: timesOf(1, 0, 4) };
      const { loss, gradients } = likelihood(net, points, options);
      expect(loss).toBeCloseTo(nll, 9);
      const size = Math.sqrt(Object.values(gradients).reduce((sum, g) => sum + dot(g, g), 0));
      expect(size).toBeCloseTo(norm, 9);
      expect(at(gradients["net.0.weight"] ?? [], 0)).toBeCloseTo(w, 9);
      expect(at(gradients["net.2.bias"] ?? [], 2)).toBeCloseTo(b, 9);
      expect(at(gradients["net.4.weight"] ?? [], 7)).toBeCloseTo(v, 9);

      // what is lost without the second-order terms, in whole percent
      const flat = { ...net, activation: { ...net.activation, second: () => 0 } };
      expect(Math.round(100 * gradientError(likelihood(flat, points, options).gradients, gradients))).toBe(lost);
    },
  );

  test("the loss of the gradient is the loss of the backward likelihood", () => {
    const net = micro("silu");
    const times = timesOf(1, 0, 4);
    const { loss } = likelihood(net, points, { method: "heun2", times });
    const each = [0, 1, 2].map(
      (i) => logLikelihood(networkField(net), points.slice(2 * i, 2 * i + 2), "heun2", times).logProb,
    );
    expect(loss).toBeCloseTo(-(at(each, 0) + at(each, 1) + at(each, 2)) / 3, 13);
  });

  test.each(Object.keys(tableaux) as Method[])(
    "%s: likelihood gradients agree with finite differences, exact and with probes",
    (method) => {
      const { spec, weights } = microNetwork("gelu");
      const probes = [
        [0.4, -1.3],
        [1, 0.7],
      ];
      for (const how of ["exact", probes] as const) {
        const loss = (w: Record<string, Float64Array>) =>
          likelihood(network(spec, w), points, { method, times: timesOf(1, 0, 3), divergenceOf: () => how });
        const error = gradientError(
          weightDifferences((w) => loss(w).loss, weights),
          loss(weights).gradients,
        );
        // central differences at 1e-5: truncation 1e-10, rounding 1e-11
        expect(error).toBeLessThan(1e-8);
      }
    },
  );
});

describe("networks of every shape", () => {
  const specs: MlpSpec[] = [
    { dim: 1, hidden: [7], activation: "tanh" },
    { dim: 3, hidden: [5, 6], activation: "silu", time: { fourier: 2 }, inputOrder: "t,x" },
    { dim: 2, hidden: [6, 5, 4], activation: "softplus", inputOrder: "t,x", classes: 3, context: 2 },
    { dim: 5, hidden: [], classes: 2 },
    { dim: 2, hidden: [9, 3], activation: "gelu", time: { fourier: 1 }, classes: 2, context: 1 },
  ];
  const condition = { label: 1, context: [0.3, -0.9] };

  test.each(specs)("J, its products and the divergence agree with finite differences: %j", (spec) => {
    const { net } = anyNetwork(spec);
    const x = Array.from({ length: spec.dim }, (_, i) => 0.7 * Math.cos(2 * i + 1));
    const v = x.map((_, i) => Math.sin(i + 0.4));
    const w = x.map((_, i) => Math.cos(3 * i));
    const u = (y: ArrayLike<number>) => evaluate(net, 0.37, y, [], condition).velocity;
    const J = x.map((_, i) => centralDifferences((y) => at(u(y), i), x));
    expect(
      relativeError(
        jvp(net, 0.37, x, v, condition),
        J.map((r) => dot(r, v)),
      ),
    ).toBeLessThan(1e-8);
    const transposed = x.map((_, j) => J.reduce((sum, r, i) => sum + at(r, j) * at(w, i), 0));
    expect(relativeError(vjp(net, 0.37, x, w, condition), transposed)).toBeLessThan(1e-8);
    const trace = J.reduce((sum, r, i) => sum + at(r, i), 0);
    expect(divergence(net, 0.37, x, "exact", condition)).toBeCloseTo(trace, 8);
    expect(divergence(net, 0.37, x, [v, w], condition)).toBeCloseTo(
      (dot(
        v,
        J.map((r) => dot(r, v)),
      ) +
        dot(
          w,
          J.map((r) => dot(r, w)),
        )) /
        2,
      8,
    );
  });

  test.each(specs)("the reverse pass of value and tangents agrees with finite differences: %j", (spec) => {
    const { net, weights } = anyNetwork(spec);
    const x = Array.from({ length: spec.dim }, (_, i) => 0.5 * Math.cos(i + 2));
    const tangents = [x.map((_, i) => Math.sin(i + 0.4)), x.map((_, i) => 1 / (i + 1))];
    const cotangents = [x.map((_, i) => Math.cos(i)), x.map((_, i) => i - 0.6)];
    const top = x.map((_, i) => 0.8 - i);
    const value = (e: ReturnType<typeof evaluate>) =>
      dot(e.velocity, top) + e.products.reduce((sum, p, k) => sum + dot(p, cotangents[k] ?? []), 0);
    const gradients = zeroGradients(net);
    const xBar = reverse(net, evaluate(net, 0.6, x, tangents, condition), top, cotangents, gradients);
    const ofState = centralDifferences((y) => value(evaluate(net, 0.6, y, tangents, condition)), x);
    const ofWeights = weightDifferences(
      (changed) => value(evaluate(network(spec, changed), 0.6, x, tangents, condition)),
      weights,
    );
    expect(gradientError(ofWeights, gradients)).toBeLessThan(1e-8);
    // a network without hidden layers has a constant Jacobian, but still a gradient
    expect(relativeError(ofState, xBar)).toBeLessThan(1e-8);
  });

  test("inputs are [x, time, one-hot, context] with time as sin, cos pairs; t,x puts the time first", () => {
    const spec: MlpSpec = { dim: 2, hidden: [1], time: { fourier: 2 }, classes: 3, context: 1 };
    const input = (inputOrder: "x,t" | "t,x", label?: number) =>
      Array.from(inputVector(anyNetwork({ ...spec, inputOrder }).net.spec, 1 / 8, [5, 6], { label, context: [9] }));
    const s = Math.sin(Math.PI / 4);
    const c = Math.cos(Math.PI / 4);
    expect(input("x,t", 2)).toEqual([5, 6, s, c, 1, Math.cos(Math.PI / 2), 0, 0, 1, 9]);
    expect(input("t,x", 0)).toEqual([s, c, 1, Math.cos(Math.PI / 2), 5, 6, 1, 0, 0, 9]);
    expect(input("x,t").slice(6, 9)).toEqual([0, 0, 0]);
    expect(input("x,t", 0xffffffff).slice(6, 9)).toEqual([0, 0, 0]);
  });

  test("guidance 0 and 1 are the unconditional and the conditional network", () => {
    const { net } = anyNetwork({ dim: 2, hidden: [6], classes: 3 });
    const x = [0.4, -0.2];
    const label = { label: 2 };
    expect(guided(net, label, 0).velocity(0.3, x)).toEqual(evaluate(net, 0.3, x).velocity);
    expect(guided(net, label, 1).velocity(0.3, x)).toEqual(evaluate(net, 0.3, x, [], label).velocity);
    const mixed = guided(net, label, 2.5).divergence(0.3, x);
    expect(mixed).toBeCloseTo(-1.5 * divergence(net, 0.3, x) + 2.5 * divergence(net, 0.3, x, "exact", label), 13);
  });
});

describe("flow matching", () => {
  const { spec, weights } = microNetwork("silu");
  const batch = {
    x0: [0.1, 0.5, -0.9, 0.3, 1.4, -0.2],
    x1: [2, 1, -1, 0.5, 0.3, -2.2],
    t: [0.2, 0.9, 0.55],
  };

  test("gradients agree with finite differences of the loss", () => {
    const { gradients } = flowMatching(network(spec, weights), batch);
    const numeric = weightDifferences((w) => flowMatching(network(spec, w), batch).loss, weights);
    expect(gradientError(numeric, gradients)).toBeLessThan(1e-8);
  });

  test("the loss is the mean over samples and dimensions", () => {
    const zero = Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, w.map(() => 0)]));
    const { loss } = flowMatching(network(spec, zero), batch);
    const mean = batch.x1.reduce((sum, x1, i) => sum + (x1 - at(batch.x0, i)) ** 2, 0) / 6;
    expect(loss).toBeCloseTo(mean, 14);
  });

  test("gradients of two parts average to those of the whole", () => {
    const net = network(spec, weights);
    const part = (from: number, to: number) =>
      flowMatching(net, {
        x0: batch.x0.slice(2 * from, 2 * to),
        x1: batch.x1.slice(2 * from, 2 * to),
        t: batch.t.slice(from, to),
      });
    const [first, second, whole] = [part(0, 1), part(1, 3), part(0, 3)];
    const joined = Object.fromEntries(
      Object.entries(first.gradients).map(([name, g]) => [
        name,
        g.map((v, i) => (v + 2 * at(second.gradients[name] ?? [], i)) / 3),
      ]),
    );
    expect(gradientError(joined, whole.gradients)).toBeLessThan(1e-14);
  });
});
