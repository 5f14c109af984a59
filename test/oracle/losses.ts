import {
  type Condition,
  type Divergence,
  divergenceOf,
  divergenceTangents,
  type Evaluation,
  evaluate,
  type Gradients,
  type Network,
  reverse,
  zeroGradients,
} from "./mlp.ts";
import { type Method, stagesOf, standardLogDensity, tableauOf } from "./ode.ts";
import { addScaled, at, row, rowCount, type Vector } from "./vectors.ts";

interface LossAndGradients {
  readonly loss: number;
  readonly gradients: Gradients;
}

/** α, σ, α̇, σ̇ at a time. */
type PathCoefficients = (t: number) => readonly [alpha: number, sigma: number, dAlpha: number, dSigma: number];

const straight: PathCoefficients = (t) => [t, 1 - t, 1, -1];

/**
 * Flow matching: x_t = α x_1 + σ x_0, target α̇ x_1 + σ̇ x_0, by default of the CondOT path,
 * loss = mean over n and dims of w(t) (u_t(x_t) − target)² (Lipman et al. 2023). x_0 and x_1 are [n, dim], t is [n].
 */
export function flowMatching(
  net: Network,
  batch: { x0: Vector; x1: Vector; t: Vector; conditionOf?: (i: number) => Condition },
  path = straight,
  weighting = (_: number) => 1,
  bridge?: { z: Vector; amounts(t: number): readonly [spread: number, rate: number] },
): LossAndGradients {
  const { dim } = net.spec;
  const n = rowCount(batch.x1, dim);
  const gradients = zeroGradients(net);
  let loss = 0;
  for (let i = 0; i < n; i++) {
    const t = at(batch.t, i);
    const [x0, x1] = [row(batch.x0, dim, i), row(batch.x1, dim, i)];
    const [alpha, sigma, dAlpha, dSigma] = path(t);
    const [spread, rate] = bridge?.amounts(t) ?? [0, 0];
    const z = (j: number) => (bridge ? at(bridge.z, i * dim + j) : 0);
    const xt = x1.map((value, j) => alpha * value + sigma * at(x0, j) + spread * z(j));
    const evaluation = evaluate(net, t, xt, [], batch.conditionOf?.(i));
    const difference = evaluation.velocity.map((u, j) => u - (dAlpha * at(x1, j) + dSigma * at(x0, j) + rate * z(j)));
    const weight = weighting(t);
    for (const d of difference) loss += (weight * d ** 2) / (n * dim);
    reverse(
      net,
      evaluation,
      difference.map((d) => (2 * weight * d) / (n * dim)),
      [],
      gradients,
    );
  }
  return { loss, gradients };
}

/** log p_0 with its gradient ("score"). */
export interface Source {
  logDensity(x: Vector): number;
  score(x: Vector): Float64Array;
}

const standardSource: Source = {
  logDensity: standardLogDensity,
  score: (x) => Float64Array.from(x, (value) => -value),
};

/**
 * Mean negative log-likelihood in nats of the rows of x under the *discretised* backward solve, and its exact gradient
 * Reverse over the steps: for i = s … 1, k̄_i = h b_i x̄ + h Σ_{j>i} a_ji ȳ_j,
 * ȳ_i = rev(y_i; ū = k̄_i, δ̄ = −h b_i ḡ), then x̄ ← x̄ + Σ ȳ_i; ḡ = 1/n is constant.
 */
export function likelihood(
  net: Network,
  x: Vector,
  options: {
    method: Method;
    /** From 1 down to 0. */
    times: Vector;
    divergenceOf?: (i: number) => Divergence;
    conditionOf?: (i: number) => Condition;
    source?: Source;
    /** Adds kineticEnergy·∫|u|² + jacobianFrobenius·∫‖J‖², ‖J‖² the sum over the unit vectors or the mean over the probes of |Jv|². */
    regularization?: { kineticEnergy: number; jacobianFrobenius: number };
  },
): LossAndGradients {
  const { kineticEnergy, jacobianFrobenius } = options.regularization ?? { kineticEnergy: 0, jacobianFrobenius: 0 };
  const square = (v: Vector) => Array.from(v).reduce((sum, value) => sum + value * value, 0);
  const { dim } = net.spec;
  const tableau = tableauOf(options.method);
  const source = options.source ?? standardSource;
  const n = rowCount(x, dim);
  const gradients = zeroGradients(net);
  let loss = 0;
  for (let particle = 0; particle < n; particle++) {
    const how = options.divergenceOf?.(particle) ?? "exact";
    const condition = options.conditionOf?.(particle) ?? {};
    const tangents = divergenceTangents(dim, how);

    const steps: { h: number; stages: Evaluation[] }[] = [];
    let f = row(x, dim, particle);
    let g = 0;
    for (let k = 0; k + 1 < options.times.length; k++) {
      const t = at(options.times, k);
      const h = at(options.times, k + 1) - t;
      const stages: Evaluation[] = [];
      const { slopes } = stagesOf(tableau, t, h, f, (time, y, i) => {
        const evaluation = evaluate(net, time, y, at(tableau.b, i) === 0 ? [] : tangents, condition);
        stages.push(evaluation);
        return evaluation.velocity;
      });
      f = f.slice();
      stages.forEach((stage, i) => {
        const b = at(tableau.b, i);
        if (b === 0) return;
        addScaled(f, h * b, slopes[i] ?? []);
        g -= h * b * divergenceOf(stage, dim, how);
        const part = how === "exact" ? 1 : 1 / tangents.length;
        const products = stage.products.reduce((sum, product) => sum + part * square(product), 0);
        loss += (Math.abs(h * b) / n) * (kineticEnergy * square(stage.velocity) + jacobianFrobenius * products);
      });
      steps.push({ h, stages });
    }
    loss += (g - source.logDensity(f)) / n;

    const xBar = source.score(f).map((s) => -s / n);
    const gBar = 1 / n;
    for (const { h, stages } of steps.reverse()) {
      const yBars: Float64Array[] = [];
      for (let i = stages.length - 1; i >= 0; i--) {
        const b = at(tableau.b, i);
        const kBar = xBar.map((value) => h * b * value);
        for (let j = i + 1; j < stages.length; j++) addScaled(kBar, h * (tableau.a[j]?.[i] ?? 0), yBars[j] ?? []);
        const stage = stages[i];
        if (!stage) throw new Error("a step has as many evaluations as stages");
        const deltaBar = -h * b * gBar;
        const share = how === "exact" ? deltaBar : deltaBar / tangents.length;
        const productBars = b === 0 ? [] : tangents.map((v) => Float64Array.from(v, (value) => share * value));
        const worth = (2 / n) * Math.abs(h * b);
        addScaled(kBar, worth * kineticEnergy, stage.velocity);
        const part = how === "exact" ? 1 : 1 / tangents.length;
        for (const [s, bar] of productBars.entries())
          addScaled(bar, worth * jacobianFrobenius * part, stage.products[s] ?? []);
        yBars[i] = reverse(net, stage, kBar, productBars, gradients);
      }
      for (const yBar of yBars) addScaled(xBar, 1, yBar);
    }
  }
  return { loss, gradients };
}
