// Adaptive steps in f64, ℓ in the error norm, for one particle: dopri5 (Dormand & Prince 1980), bosh3 (Bogacki & Shampine 1989), tsit5 (Tsitouras 2011).
import type { Field } from "./ode.ts";
import { at, type Vector } from "./vectors.ts";

/** Rows of a, the last one b of the higher order; nodes; the weights of the embedded method of one order less. */
interface Pair {
  readonly order: number;
  readonly a: readonly Vector[];
  readonly c: Vector;
  readonly embedded: Vector;
}

const dormandPrince: Pair = {
  order: 5,
  a: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ],
  c: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
  embedded: [5179 / 57600, 0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40],
};

const bogackiShampine: Pair = {
  order: 3,
  a: [[], [1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]],
  c: [0, 1 / 2, 3 / 4, 1],
  embedded: [7 / 24, 1 / 4, 1 / 3, 1 / 8],
};

const weights = [
  0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774,
];
const tsitouras: Pair = {
  order: 5,
  a: [
    [],
    [0.161],
    [-0.008480655492356989, 0.335480655492357],
    [2.8971530571054935, -6.359448489975075, 4.3622954328695815],
    [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
    [5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383],
    weights,
  ],
  c: [0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1],
  embedded: [
    0.09468075576583945,
    0.009183565540343254,
    0.4877705284247616,
    1.234297566930479,
    -2.7077123499835256,
    1.866628418170587,
    1 / 66,
  ],
};

export const pairs = { dopri5: dormandPrince, bosh3: bogackiShampine, tsit5: tsitouras } as const;

interface AdaptiveResult {
  readonly y: Float64Array;
  readonly accepted: number;
  readonly rejected: number;
  readonly nfe: number;
  readonly firstStep: number;
}

export const dopri5 = (field: Field, x0: Vector, o: Options) => adaptive("dopri5", field, x0, o);

interface Options {
  rtol: number;
  atol: number;
  from?: number;
  to?: number;
  logProb?: number;
  maxSteps?: number;
}

/** Solves for y = (x, ℓ) or, without `logProb`, for x alone, from `from` to `to`. */
export function adaptive(method: keyof typeof pairs, field: Field, x0: Vector, o: Options): AdaptiveResult {
  const { a, c, embedded, order } = pairs[method];
  const stages = c.length;
  const b = [...Array.from(a[stages - 1] ?? []), 0];
  const { rtol, atol, from = 0, to = 1, maxSteps = 1000 } = o;
  const carries = o.logProb !== undefined;
  let nfe = 0;
  const f = (t: number, y: Float64Array) => {
    nfe++;
    const x = y.subarray(0, x0.length);
    const u = field.velocity(t, x);
    return Float64Array.from(carries ? [...Array.from(u), -field.divergence(t, x)] : u);
  };
  const rms = (v: Float64Array, scale: Float64Array) =>
    Math.sqrt(v.reduce((sum, value, i) => sum + (value / at(scale, i)) ** 2, 0) / v.length);
  const combine = (y: Float64Array, h: number, weights: Vector, ks: readonly Float64Array[]) =>
    y.map((value, i) => value + h * ks.reduce((sum, k, j) => sum + (weights[j] ?? 0) * at(k, i), 0));
  let y = Float64Array.from(o.logProb === undefined ? x0 : [...Array.from(x0), o.logProb]);
  let t = from;
  let k1 = f(t, y);
  const sign = Math.sign(to - from);
  const span = Math.abs(to - from);
  const scale = y.map((value) => atol + rtol * Math.abs(value));
  const [d0, d1] = [rms(y, scale), rms(k1, scale)];
  const h0 = d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : (0.01 * d0) / d1;
  const probe = f(t + sign * h0, combine(y, sign * h0, [1], [k1]));
  const d2 =
    rms(
      probe.map((value, i) => value - at(k1, i)),
      scale,
    ) / h0;
  const worst = Math.max(d1, d2);
  const h1 = worst <= 1e-15 ? Math.max(1e-6, h0 / 1000) : (0.01 / worst) ** (1 / order);
  let h = Math.min(100 * h0, h1, span);
  const firstStep = h;
  let [accepted, rejected] = [0, 0];
  while (t !== to && accepted + rejected < maxSteps) {
    const rest = Math.abs(to - t);
    const lands = rest <= h * (1 + 1e-6);
    const step = sign * (lands ? rest : h);
    const ks = [k1];
    let next = y;
    for (let s = 1; s < stages; s++) {
      next = combine(y, step, a[s] ?? [], ks);
      ks.push(f(lands && c[s] === 1 ? to : t + at(c, s) * step, next));
    }
    const error = combine(
      new Float64Array(y.length),
      step,
      b.map((weight, i) => weight - at(embedded, i)),
      ks,
    );
    const size = y.map((value, i) => atol + rtol * Math.max(Math.abs(value), Math.abs(at(next, i))));
    const err = rms(error, size);
    const factor = Number.isFinite(err) ? Math.min(10, Math.max(0.2, 0.9 * Math.max(err, 1e-10) ** (-1 / order))) : 0.2;
    if (err <= 1) {
      accepted++;
      t = lands ? to : t + step;
      y = next;
      k1 = ks[stages - 1] ?? k1;
      h = Math.abs(step) * Math.max(1, factor);
    } else {
      rejected++;
      h = Math.abs(step) * factor;
    }
  }
  return { y, accepted, rejected, nfe, firstStep };
}
