import * as pf from "pushforward";
import { divergence, jvp, network } from "../oracle/mlp.ts";
import { expect, test } from "../suite.ts";

const probes = 10_000;

/** Mean and variance of numbers. */
function statistics(values: Float32Array): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1) };
}

for (const [name, options] of [
  ["fused", { dim: 3, hidden: [8, 7] }],
  ["layered", { dim: 5, hidden: [136] }],
] as const) {
  const { dim } = options;
  const velocity = pf.mlp({ ...options, hidden: [...options.hidden] });
  const x = Float32Array.from({ length: dim }, (_, i) => Math.sin(3 * i + 1));
  const many = Float32Array.from({ length: probes * dim }, (_, k) => x[k % dim] ?? 0);

  for (const probe of ["rademacher", "gaussian"] as const) {
    test(`Hutchinson's estimate has the exact mean and the variance of the formula: ${probe}, ${name}`, async ({
      gpu,
    }) => {
      const flow = pf.Flow.create(gpu, { velocity, seed: 5 });
      const net = network(velocity, await flow.weights());
      const t = 0.4;
      const exact = divergence(net, t, x, "exact");
      const unit = (k: number) => Float64Array.from({ length: dim }, (_, i) => (i === k ? 1 : 0));
      const columns = Array.from({ length: dim }, (_, k) => jvp(net, t, x, unit(k)));
      // S = (J + Jᵀ)/2: Rademacher 2 Σ_{i≠j} S_ij², Gaussian 2‖S‖²
      let predicted = 0;
      for (let i = 0; i < dim; i++)
        for (let j = 0; j < dim; j++)
          if (i !== j || probe === "gaussian")
            predicted += 2 * (((columns[j]?.[i] ?? 0) + (columns[i]?.[j] ?? 0)) / 2) ** 2;
      const { mean, variance } = statistics(await flow.divergence(many, t, { divergence: { probe }, seed: 3 }));
      expect(Math.abs(mean - exact)).toBeLessThan(3 * Math.sqrt(variance / probes));
      // a variance from 10⁴ draws is good to about 2 %
      expect(Math.abs(variance / predicted - 1)).toBeLessThan(0.1);
      flow.dispose();
    });

    test(`log p of frozen probes has the exact one as its mean: ${probe}, ${name}`, async ({ gpu }) => {
      const flow = pf.Flow.create(gpu, { velocity, seed: 5 });
      const solver = { method: "midpoint", steps: 4 } as const;
      const [exact = Number.NaN] = (await flow.logProb(x, { solver, divergence: "exact" })).logProb;
      const few = many.subarray(0, 4000 * dim);
      const { mean, variance } = statistics(
        (await flow.logProb(few, { solver, divergence: { probe }, seed: 4 })).logProb,
      );
      expect(Math.abs(mean - exact)).toBeLessThan(3 * Math.sqrt(variance / 4000));
      // what a call with several probes says of its own error is the deviation of that mean
      const several = await flow.logProb(few, { solver, divergence: { probe, probes: 4 }, seed: 5 });
      const squares = (several.standardError ?? few).reduce((sum, e) => sum + e * e, 0) / 4000;
      expect(Math.abs(squares / (variance / 4) - 1)).toBeLessThan(0.1);
      flow.dispose();
    });
  }
}
