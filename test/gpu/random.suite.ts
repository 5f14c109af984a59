import * as pf from "pushforward";
import { normals, seedKey, streams, uniforms } from "../../src/random/philox.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, uniformArray } from "./inputs.ts";
import { signsOf } from "./signs.ts";

const n = 1003;
const seed = 2 ** 40 + 12345;
const solver = { method: "euler", steps: 1 } as const;

for (const dim of [1, 3, 5]) {
  test(`uniform draws are bit-equal to TypeScript's, normal ones within a few ulp: dim ${dim}`, async ({ gpu }) => {
    const velocity = pf.mlp({ dim, hidden: [8] });
    const box = { distribution: "uniform", low: new Array(dim).fill(0), high: new Array(dim).fill(1) } as const;
    const uniform = pf.Flow.create(gpu, { velocity, source: { ...box } });
    const { x0 } = await uniform.sample(n, { seed, solver });
    expect(x0).toEqual(uniforms(seedKey(seed), streams.source, 0, n, dim));
    const normal = pf.Flow.create(gpu, { velocity });
    const drawn = (await normal.sample(n, { seed, solver })).x0 ?? [];
    // 4 ulp, and near zero as much of the sine's or cosine's own error as of a normal of size 5
    expectClose(drawn, normals(seedKey(seed), streams.source, 0, n, dim), { relative: 5e-7, absolute: 3e-7 });
    for (const flow of [uniform, normal]) flow.dispose();
  });
}

test("Rademacher probes are the signs of their draws: a linear field gives their quadratic form", async ({ gpu }) => {
  const dim = 5;
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim, hidden: [] }), seed: 1 });
  const weights = await flow.weights();
  const matrix = uniformArray(dim * (dim + 1), -1, 1, 3);
  flow.setWeights({ ...weights, "net.0.weight": matrix });
  const got = await flow.divergence(new Float32Array(n * dim), 0.5, {
    divergence: { probe: "rademacher", probes: 2 },
    seed,
  });
  const signs = [0, 1].map((k) => signsOf(seedKey(seed), streams.probe, n, dim, k));
  const wanted = forRows(n, (i) => {
    let sum = 0;
    for (const z of signs) {
      for (let a = 0; a < dim; a++) {
        for (let b = 0; b < dim; b++)
          sum += (z[i * dim + a] ?? 0) * (matrix[a * (dim + 1) + b] ?? 0) * (z[i * dim + b] ?? 0);
      }
    }
    return sum / 2;
  });
  expectClose(got, wanted, { relative: 1e-5, absolute: 1e-5 });
  flow.dispose();
});
