import { besselI0Scaled, gaussLegendre, normalInterval } from "./special.ts";
import { at, gaussianLogDensity, logSumExp, type Vector } from "./vectors.ts";

/** What is known of a toy set: log-density, differential entropy in nats, mean, variances and covariance. */
export interface ToyDensity {
  readonly logDensity: (x: Vector) => number;
  readonly entropy: number;
  readonly mean: readonly [number, number];
  readonly variance: readonly [number, number];
  readonly covariance: number;
}

/** Log-density of noise N(0, s² I) added to a point of a curve, the parameter's law given by weighted nodes. */
function alongCurve(
  points: readonly (readonly [x: number, y: number, weight: number])[],
  s: number,
): (x: Vector) => number {
  const constant = -Math.log(2 * Math.PI * s * s);
  const logWeights = points.map(([, , weight]) => Math.log(weight));
  const exponents = new Float64Array(points.length);
  return (x) => {
    points.forEach(([px, py], i) => {
      exponents[i] = at(logWeights, i) - ((at(x, 0) - px) ** 2 + (at(x, 1) - py) ** 2) / (2 * s * s);
    });
    return constant + logSumExp(exponents);
  };
}

/** Points of a curve at Gauss–Legendre nodes of θ uniform on [low, high], together of weight `share`. */
function curve(
  count: number,
  low: number,
  high: number,
  share: number,
  place: (theta: number) => readonly [number, number],
) {
  const { nodes, weights } = gaussLegendre(count, low, high);
  return Array.from(nodes, (theta, i) => [...place(theta), (share * at(weights, i)) / (high - low)] as const);
}

/** Rings of equal weight around 0: Σ exp(−(ρ−R)²/2s²) I0e(ρR/s²)/(2πs²)/M. */
function ringsDensity(radii: readonly number[], s: number): (x: Vector) => number {
  return (x) => {
    const rho = Math.hypot(at(x, 0), at(x, 1));
    const terms = radii.map((R) => -((rho - R) ** 2) / (2 * s * s) + Math.log(besselI0Scaled((rho * R) / (s * s))));
    return logSumExp(terms) - Math.log(radii.length * 2 * Math.PI * s * s);
  };
}

/** FFJORD divides by 1.414, not by √2. */
const almostRootTwo = 1414 / 1000;

/** FFJORD's eight Gaussians: centres and standard deviation. */
export const eightModes = {
  centres: Array.from({ length: 8 }, (_, k) => {
    const [radius, angle] = [4 / almostRootTwo, (k * Math.PI) / 4];
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  }),
  std: 0.5 / almostRootTwo,
} as const;

const moonCurves = [
  ...curve(200, 0, Math.PI, 0.5, (a) => [2 * Math.cos(a) - 1, 2 * Math.sin(a) - 0.2]),
  ...curve(200, 0, Math.PI, 0.5, (a) => [2 * (1 - Math.cos(a)) - 1, 2 * (0.5 - Math.sin(a)) - 0.2]),
];

const rollCurve = curve(600, 1.5 * Math.PI, 4.5 * Math.PI, 1, (a) => [(a * Math.cos(a)) / 5, (a * Math.sin(a)) / 5]);

// r = 3π√U: nodes in √U, where the spiral is smooth, with the density 2√U
const spiral = (() => {
  const { nodes, weights } = gaussLegendre(800, 0, 1);
  return Array.from(nodes, (root, i) => {
    const r = 3 * Math.PI * root;
    return { x: (-r * Math.cos(r)) / 3, y: (r * Math.sin(r)) / 3, weight: at(weights, i) * 2 * root };
  });
})();

/** A box of width 1/6 from each point of the spiral, blurred by N(0, .1²): β(x)β(y), symmetrised. */
function spiralsLogDensity(x: Vector): number {
  const [width, s] = [1 / 6, 0.1];
  const box = (d: number) => normalInterval((d - width) / s, d / s) / width;
  let density = 0;
  for (const sign of [1, -1]) {
    const [px, py] = [sign * at(x, 0), sign * at(x, 1)];
    for (const point of spiral) {
      const [dx, dy] = [px - point.x, py - point.y];
      // nine standard deviations beyond the box there is nothing
      if (dx < -0.9 || dx > 1.07 || dy < -0.9 || dy > 1.07) continue;
      density += 0.5 * point.weight * box(dx) * box(dy);
    }
  }
  return Math.log(density);
}

/**
 * Pinwheel by inversion: f = (1 + .3N, .1N) is turned by −a, a = 2πk/5 + .25 e^{f_1}, and doubled. With ρ = |x|/2 and polar
 * angles, α − .25 e^{ρ cos α} = arg x + 2πk/5; the map's determinant is 4 (1 + .25 e^{f_1} f_2).
 */
function pinwheelLogDensity(x: Vector): number {
  const rho = Math.hypot(at(x, 0), at(x, 1)) / 2;
  const direction = Math.atan2(at(x, 1), at(x, 0));
  const cells = 180;
  const twist = (alpha: number) => alpha - 0.25 * Math.exp(rho * Math.cos(alpha)) - direction;
  const edges = Array.from({ length: cells + 1 }, (_, i) => -Math.PI + (2 * Math.PI * i) / cells);
  const values = edges.map(twist);
  const terms: number[] = [];
  for (let i = 0; i < cells; i++) {
    const [low, high] = [Math.min(at(values, i), at(values, i + 1)), Math.max(at(values, i), at(values, i + 1))];
    // all blades at once: roots of twist = 2πm/5
    const spacing = (2 * Math.PI) / 5;
    for (let m = Math.ceil(low / spacing); m * spacing < high; m++) {
      let [a, b] = [at(edges, i), at(edges, i + 1)];
      const rising = at(values, i + 1) > at(values, i);
      for (let iteration = 0; iteration < 50; iteration++) {
        const middle = (a + b) / 2;
        if (twist(middle) < m * spacing === rising) a = middle;
        else b = middle;
      }
      const [f1, f2] = [rho * Math.cos(a), rho * Math.sin(a)];
      const determinant = 4 * Math.abs(1 + 0.25 * Math.exp(f1) * f2);
      terms.push(-0.5 * ((f1 - 1) / 0.3) ** 2 - 0.5 * (f2 / 0.1) ** 2 - Math.log(2 * Math.PI * 0.03 * determinant));
    }
  }
  return logSumExp(terms) - Math.log(5);
}

/** Uniform on the squares of a checkerboard whose columns alternate; `e` is the side of a square. */
function checkerboardLogDensity(x: Vector, e = 2): number {
  const [i, j] = [Math.floor(at(x, 0) / e), Math.floor(at(x, 1) / e)];
  const inside = Math.abs(i + 0.5) < 2 && Math.abs(j + 0.5) < 2 && (i + j) % 2 === 0;
  return inside ? -Math.log(8 * e * e) : -Infinity;
}

/** The eight sets of FFJORD. */
export const toyDensities = {
  "8gaussians": {
    logDensity: (x) =>
      logSumExp(eightModes.centres.map((mode) => gaussianLogDensity(x, mode, eightModes.std ** 2))) - Math.log(8),
    entropy: 2.83188041,
    mean: [0, 0],
    variance: [4.126, 4.126],
    covariance: 0,
  },
  moons: {
    logDensity: alongCurve(moonCurves, 0.2),
    entropy: 2.3938792,
    mean: [0, 0.3],
    variance: [3.04, 1.02],
    covariance: -0.773,
  },
  circles: {
    logDensity: ringsDensity([3, 1.5], 0.24),
    entropy: 3.26813571,
    mean: [0, 0],
    variance: [2.87, 2.87],
    covariance: 0,
  },
  rings: {
    logDensity: ringsDensity([3, 2.25, 1.5, 0.75], 0.08),
    entropy: 2.62318277,
    mean: [0, 0],
    variance: [2.116, 2.116],
    covariance: 0,
  },
  swissroll: {
    logDensity: alongCurve(rollCurve, 0.2),
    entropy: 2.66964617,
    mean: [0.401, 0.044],
    variance: [1.79, 1.97],
    covariance: 0.172,
  },
  "2spirals": {
    logDensity: spiralsLogDensity,
    entropy: 2.64545028,
    mean: [0, 0],
    variance: [2.6, 2.51],
    covariance: 0.588,
  },
  pinwheel: { logDensity: pinwheelLogDensity, entropy: 2.3176, mean: [0, 0], variance: [2.2, 2.2], covariance: 0 },
  checkerboard: {
    logDensity: checkerboardLogDensity,
    entropy: Math.log(32),
    mean: [0, 0],
    variance: [16 / 3, 16 / 3],
    covariance: 1,
  },
} as const satisfies Record<string, ToyDensity>;

/** A mixture of Gaussians with independent components: log p(x) and ∇ log p(x). */
export function gaussianMixture(means: readonly Vector[], scales: readonly Vector[], weights: readonly number[]) {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const terms = (x: Vector) =>
    means.map((mean, k) => {
      let log = Math.log(at(weights, k) / sum);
      for (let i = 0; i < x.length; i++) {
        const scale = at(scales[k] ?? [], i);
        log -= ((at(x, i) - at(mean, i)) / scale) ** 2 / 2 + Math.log(scale * Math.sqrt(2 * Math.PI));
      }
      return log;
    });
  const logDensity = (x: Vector) => logSumExp(terms(x));
  const score = (x: Vector) => {
    const [logs, all] = [terms(x), logDensity(x)];
    return Float64Array.from({ length: x.length }, (_, i) =>
      means.reduce((total, mean, k) => {
        const scale = at(scales[k] ?? [], i);
        return total - (Math.exp(at(logs, k) - all) * (at(x, i) - at(mean, i))) / scale ** 2;
      }, 0),
    );
  };
  return { logDensity, score };
}
