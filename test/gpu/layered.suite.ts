import * as pf from "pushforward";
import { activationFunctions, activationNames } from "../oracle/activations.ts";
import { divergence, evaluate, network, vjp } from "../oracle/mlp.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, rowOf, uniformArray } from "./inputs.ts";

/** Far beyond where exp overflows (88) and z² does (1.8·10¹⁹). */
const extremes = [0, 1e-6, 0.01, 0.2, 0.3, 0.34, 0.36, 1, 3, 6, 9, 12, 20, 79, 81, 89, 104, 1e3, 1e4, 1e6, 1e20, 3e38];

for (const activation of activationNames) {
  test(`activation and slope are right for any finite argument, in the fused and the layered kernels: ${activation}`, async ({
    gpu,
  }) => {
    // u(x) = φ(x), so the velocity is the activation and the divergence its slope
    const x = Float32Array.from(extremes.flatMap((z) => [z, -z]));
    const { value, first } = activationFunctions[activation];
    // beyond 10⁴ an f32 sine has lost its phase: only its bound can be promised
    const isWave = activation === "sin" || activation === "cos";
    const known = isWave ? 1e4 : Number.POSITIVE_INFINITY;
    for (const width of [1, 140]) {
      const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [width], activation }) });
      const one = (length: number) => Float32Array.from({ length }, (_, i) => Number(i === 0));
      flow.setWeights({
        "net.0.weight": one(2 * width),
        "net.0.bias": new Float32Array(width),
        "net.2.weight": one(width),
        "net.2.bias": new Float32Array(1),
      });
      const values = await flow.velocity(x, 0.5);
      const slopes = await flow.divergence(x, 0.5);
      const inside = [...x.keys()].filter((i) => Math.abs(x[i] ?? 0) <= known);
      const pick = (all: Float32Array) => inside.map((i) => all[i] ?? Number.NaN);
      expectClose(
        pick(values),
        inside.map((i) => value(x[i] ?? 0)),
        { relative: 1e-5, absolute: 1e-6 },
      );
      // the kink of relu may have either slope
      const smooth = (i: number) => x[i] !== 0;
      expectClose(
        inside.filter(smooth).map((i) => slopes[i] ?? Number.NaN),
        inside.filter(smooth).map((i) => first(x[i] ?? 0)),
        { relative: 1e-5, absolute: 2e-6 },
      );
      if (isWave) {
        for (const all of [values, slopes]) expect(all.every((y) => Math.abs(y) <= 1.000001)).toBe(true);
      }
      flow.dispose();
    }
  });
}

for (const n of [1, 63, 64, 65, 1000]) {
  test(`the layered path agrees with the f64 oracle, padding or not: ${n} particles`, async ({ gpu }) => {
    const velocity = pf.mlp({ dim: 3, hidden: [131, 18], inputOrder: "t,x" });
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    const net = network(velocity, await flow.weights());
    const [x, t, w] = [uniformArray(3 * n, -2, 2, 1), uniformArray(n, 0, 1, 2), uniformArray(3 * n, -1, 1, 3)];
    const tolerance = { relative: 1e-5, absolute: 1e-6 };
    const got = await flow.vjp(x, t, w);
    // the oracle is slow: every seventh particle and the last ones
    const some = Array.from({ length: n }, (_, i) => i).filter((i) => i % 7 === 0 || i > n - 3);
    const rows = (all: Float32Array, width: number) => some.flatMap((i) => [...rowOf(all, width, i)]);
    const wanted = (f: (i: number) => ArrayLike<number> | number) => forRows(some.length, (k) => f(some[k] ?? 0));
    expectClose(
      rows(got.velocity, 3),
      wanted((i) => evaluate(net, t[i] ?? 0, rowOf(x, 3, i)).velocity),
      tolerance,
    );
    expectClose(
      rows(got.vjp, 3),
      wanted((i) => vjp(net, t[i] ?? 0, rowOf(x, 3, i), rowOf(w, 3, i))),
      tolerance,
    );
    expectClose(
      rows(await flow.divergence(x, t), 1),
      wanted((i) => divergence(net, t[i] ?? 0, rowOf(x, 3, i), "exact")),
      tolerance,
    );
    flow.dispose();
  });
}
