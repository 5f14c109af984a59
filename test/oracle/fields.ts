import { eightModes } from "./densities.ts";
import type { Field } from "./ode.ts";
import { normalDensity, normalInterval } from "./special.ts";
import { at, dot, gaussianLogDensity, logSumExp, type Vector } from "./vectors.ts";

/**
 * A velocity field that is known in closed form, with source N(0, I): its divergence, log p_t, where known its flow,
 * and where WGSL can express it the text for `wgslVelocity` (which declares DIM itself).
 */
export interface ClosedForm extends Field {
  logDensity(t: number, x: Vector): number;
  /** ψ_t(x_0). */
  flow?(t: number, x0: Vector): Float64Array;
  readonly wgsl?: string;
}

/** A number as WGSL source. */
const f = (value: number) => {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? text : `${text}.0`;
};

/** WGSL of a field from one expression per component and one for the divergence; both see t and x. */
function wgslField(components: readonly string[], divergence: string, before = ""): string {
  return `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
  ${before}
  return array<f32, DIM>(${components.join(", ")});
}
fn divergence(t: f32, x: array<f32, DIM>) -> f32 {
  ${before}
  return ${divergence};
}
`;
}

const indices = (n: number) => Array.from({ length: n }, (_, i) => i);

/** N(0, I) → N(mean, s² I) by the CondOT path. */
export function gaussian(
  mean: readonly number[],
  s: number,
): ClosedForm & { flow(t: number, x0: Vector): Float64Array } {
  const dim = mean.length;
  const v = (t: number) => (1 - t) ** 2 + (t * s) ** 2;
  const c = (t: number) => (t * s * s - (1 - t)) / v(t);
  const before = `let r = 1.0 - t;
  let c = (t * ${f(s * s)} - r) / (r * r + t * t * ${f(s * s)});`;
  return {
    dim,
    velocity: (t, x) => Float64Array.from(mean, (m, i) => m + c(t) * (at(x, i) - t * m)),
    divergence: (t) => dim * c(t),
    logDensity: (t, x) =>
      gaussianLogDensity(
        x,
        mean.map((m) => t * m),
        v(t),
      ),
    flow: (t, x0) => Float64Array.from(mean, (m, i) => t * m + Math.sqrt(v(t)) * at(x0, i)),
    wgsl: wgslField(
      mean.map((m, i) => `${f(m)} + c * (x[${i}] - t * ${f(m)})`),
      `${f(dim)} * c`,
      before,
    ),
  };
}

/** N(0, I) → equal mixture of N(centre_k, s² I) by the CondOT path. */
export function gaussianMixture(centres: readonly (readonly number[])[], s: number): ClosedForm {
  const dim = centres[0]?.length ?? 0;
  const v = (t: number) => (1 - t) ** 2 + (t * s) ** 2;
  const c = (t: number) => (t * s * s - (1 - t)) / v(t);
  const offsets = (t: number, x: Vector) => centres.map((centre) => centre.map((m, i) => at(x, i) - t * m));
  const weights = (t: number, x: Vector) => {
    const exponents = offsets(t, x).map((r) => -dot(r, r) / (2 * v(t)));
    const total = logSumExp(exponents);
    return exponents.map((e) => Math.exp(e - total));
  };
  const mean = (w: readonly number[], vectors: readonly (readonly number[])[]) =>
    indices(dim).map((i) => w.reduce((sum, weight, k) => sum + weight * at(vectors[k] ?? [], i), 0));
  /** U_k, the velocity of mode k alone. */
  const modes = (t: number, x: Vector) =>
    offsets(t, x).map((r, k) => r.map((value, i) => at(centres[k] ?? [], i) + c(t) * value));
  return {
    dim,
    velocity: (t, x) => Float64Array.from(mean(weights(t, x), modes(t, x))),
    // d c + Σ w_k ⟨−r_k/v + Σ_j w_j r_j/v, U_k⟩
    divergence: (t, x) => {
      const [w, r, u] = [weights(t, x), offsets(t, x), modes(t, x)];
      const rMean = mean(w, r);
      const spread = w.map(
        (weight, k) =>
          weight *
          dot(
            rMean.map((m, i) => (m - at(r[k] ?? [], i)) / v(t)),
            u[k] ?? [],
          ),
      );
      return dim * c(t) + spread.reduce((sum, value) => sum + value, 0);
    },
    logDensity: (t, x) =>
      logSumExp(offsets(t, x).map((r) => gaussianLogDensity(r, undefined, v(t)))) - Math.log(centres.length),
    wgsl: mixtureWgsl(centres, s),
  };
}

/**
 * The same field, arranged for f32: with c̄ the weighted mean of the centres, u = c x + ((1 − t)/v) c̄ and
 * div u = d c + (t(1 − t)/v²) Σ w_k |c_k − c̄|², where nothing large cancels. The exponents drop −|x|²/2v, common to all.
 */
function mixtureWgsl(centres: readonly (readonly number[])[], s: number): string {
  const dim = centres[0]?.length ?? 0;
  const modes = indices(centres.length);
  const inner = (k: number) => (centres[k] ?? []).map((m, i) => `x[${i}] * ${f(m)}`).join(" + ");
  const square = (k: number) => f(dot(centres[k] ?? [], centres[k] ?? []) / 2);
  const chain = (values: readonly string[]) => values.reduceRight((rest, value) => `max(${value}, ${rest})`);
  const before = `let r = 1.0 - t;
  let v = r * r + t * t * ${f(s * s)};
  let c = (t * ${f(s * s)} - r) / v;
${modes.map((k) => `  let e${k} = (t / v) * (${inner(k)} - t * ${square(k)});`).join("\n")}
  let top = ${chain(modes.map((k) => `e${k}`))};
${modes.map((k) => `  let w${k} = exp(e${k} - top);`).join("\n")}
  let total = ${modes.map((k) => `w${k}`).join(" + ")};
${indices(dim)
  .map((i) => `  let m${i} = (${modes.map((k) => `w${k} * ${f(at(centres[k] ?? [], i))}`).join(" + ")}) / total;`)
  .join("\n")}`;
  const distance = (k: number) =>
    indices(dim)
      .map((i) => `(${f(at(centres[k] ?? [], i))} - m${i}) * (${f(at(centres[k] ?? [], i))} - m${i})`)
      .join(" + ");
  return wgslField(
    indices(dim).map((i) => `c * x[${i}] + (r / v) * m${i}`),
    `${f(dim)} * c + (t * r / (v * v)) * ((${modes.map((k) => `w${k} * (${distance(k)})`).join("\n    + ")}) / total)`,
    before,
  );
}

/** N(0, I) → FFJORD's eight Gaussians: centres (4/1.414)(cos kπ/4, sin kπ/4), s = .5/1.414. */
export const eightGaussians: ClosedForm = gaussianMixture(eightModes.centres, eightModes.std);

/** u = a x. */
export function linear(dim: number, a: number): ClosedForm & { flow(t: number, x0: Vector): Float64Array } {
  return {
    dim,
    velocity: (_t, x) => Float64Array.from(x, (value) => a * value),
    divergence: () => a * dim,
    logDensity: (t, x) => gaussianLogDensity(x, undefined, Math.exp(2 * a * t)),
    flow: (t, x0) => Float64Array.from(x0, (value) => value * Math.exp(a * t)),
    wgsl: wgslField(
      indices(dim).map((i) => `${f(a)} * x[${i}]`),
      f(a * dim),
    ),
  };
}

/** u = rate·(−x_2, x_1): leaves N(0, I) as it is. */
export function rotation(rate: number): ClosedForm & { flow(t: number, x0: Vector): Float64Array } {
  return {
    dim: 2,
    velocity: (_t, x) => Float64Array.of(-rate * at(x, 1), rate * at(x, 0)),
    divergence: () => 0,
    logDensity: (_t, x) => gaussianLogDensity(x, undefined, 1),
    flow: (t, x0) => {
      const [c, s] = [Math.cos(rate * t), Math.sin(rate * t)];
      return Float64Array.of(c * at(x0, 0) - s * at(x0, 1), s * at(x0, 0) + c * at(x0, 1));
    },
    wgsl: wgslField([`${f(-rate)} * x[1]`, `${f(rate)} * x[0]`], "0.0"),
  };
}

/** u = (k x_2, 0): every solver is exact in one step. */
export function shear(k: number): ClosedForm & { flow(t: number, x0: Vector): Float64Array } {
  return {
    dim: 2,
    velocity: (_t, x) => Float64Array.of(k * at(x, 1), 0),
    divergence: () => 0,
    logDensity: (t, x) => gaussianLogDensity([at(x, 0) - k * t * at(x, 1), at(x, 1)], undefined, 1),
    flow: (t, x0) => Float64Array.of(at(x0, 0) + k * t * at(x0, 1), at(x0, 1)),
    wgsl: wgslField([`${f(k)} * x[1]`, "0.0"], "0.0"),
  };
}

/** u = A x + b with A given by rows. */
export function affine(
  A: readonly (readonly number[])[],
  b: readonly number[],
): ClosedForm & { flow(t: number, x0: Vector): Float64Array } {
  const dim = b.length;
  const trace = A.reduce((sum, rowOfA, i) => sum + at(rowOfA, i), 0);
  const velocity = (x: Vector) => Float64Array.from(b, (value, i) => dot(A[i] ?? [], x) + value);
  // Taylor's series of the flow in t, over pieces short enough for it to converge fast
  const flow = (t: number, x0: Vector) => {
    const pieces = 16;
    let x = Float64Array.from(x0);
    for (let piece = 0; piece < pieces; piece++) {
      let term = velocity(x).map((value) => (value * t) / pieces);
      const sum = x.map((value, i) => value + at(term, i));
      for (let k = 2; k < 40; k++) {
        term = term.map((_, i) => (dot(A[i] ?? [], term) * t) / pieces / k);
        sum.forEach((value, i) => {
          sum[i] = value + at(term, i);
        });
      }
      x = sum;
    }
    return x;
  };
  return {
    dim,
    velocity: (_t, x) => velocity(x),
    divergence: () => trace,
    logDensity: (t, x) => gaussianLogDensity(flow(-t, x), undefined, 1) - t * trace,
    flow,
    wgsl: wgslField(
      b.map(
        (value, i) =>
          `${indices(dim)
            .map((j) => `${f(at(A[i] ?? [], j))} * x[${j}]`)
            .join(" + ")} + ${f(value)}`,
      ),
      f(trace),
    ),
  };
}

/**
 * N(0, I) → uniform on the eight dark squares of side e of a 4 × 4 board, CondOT.
 * The divergence is the central difference of the velocity, exact to about 1e-9. No WGSL: it has no erf.
 */
export function checkerboard(e: number): ClosedForm {
  const squares = indices(4).flatMap((i) => (i % 2 === 0 ? [0, 2] : [1, 3]).map((j) => [i, j] as const));
  const axis = (t: number, x: number) =>
    indices(4).map((i) => {
      const sigma = 1 - t;
      const [low, high] = [(x - t * (i - 1) * e) / sigma, (x - t * (i - 2) * e) / sigma];
      return { z: normalInterval(low, high), m: normalDensity(low) - normalDensity(high) };
    });
  const sums = (t: number, x: Vector) => {
    const [first, second] = [axis(t, at(x, 0)), axis(t, at(x, 1))];
    let [total, m0, m1] = [0, 0, 0];
    for (const [i, j] of squares) {
      const [a, b] = [first[i], second[j]];
      if (!a || !b) continue;
      total += a.z * b.z;
      m0 += a.m * b.z;
      m1 += a.z * b.m;
    }
    return { total, noise: [m0 / total, m1 / total] };
  };
  const velocity = (t: number, x: Vector) =>
    t === 0
      ? Float64Array.from(x, (value) => -value)
      : Float64Array.from(sums(t, x).noise, (noise, i) => (at(x, i) - noise) / t);
  return {
    dim: 2,
    velocity,
    divergence: (t, x) => {
      const step = 1e-5 * Math.max(1 - t, 1e-3);
      return indices(2).reduce((sum, i) => {
        const [above, below] = [Float64Array.from(x), Float64Array.from(x)];
        above[i] = at(x, i) + step;
        below[i] = at(x, i) - step;
        return sum + (at(velocity(t, above), i) - at(velocity(t, below), i)) / (2 * step);
      }, 0);
    },
    logDensity: (t, x) =>
      t === 0 ? gaussianLogDensity(x, undefined, 1) : Math.log(sums(t, x).total) - Math.log(8 * t * t * e * e),
  };
}
