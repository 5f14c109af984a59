import { at, type Vector } from "./vectors.ts";

/** dx = f_t(x) dt + g_t dW; `noise(k)` are the standard normals of step k. */
interface Sde {
  readonly drift: (t: number, x: Vector) => Float64Array;
  readonly diffusion: (t: number) => number;
  readonly noise: (k: number) => Vector;
}

/** Euler–Maruyama, or the stochastic Heun method for noise that does not depend on the state. `isEuler(k)`: steps without a corrector. */
export function solveSde(
  { drift, diffusion, noise }: Sde,
  start: Vector,
  times: Vector,
  isEuler: (k: number) => boolean,
): Float64Array {
  let x = Float64Array.from(start);
  for (let k = 0; k + 1 < times.length; k++) {
    const [t, next] = [at(times, k), at(times, k + 1)];
    const h = next - t;
    const root = Math.sqrt(Math.abs(h));
    const z = noise(k);
    const f = drift(t, x);
    const predicted = x.map((value, i) => value + h * at(f, i) + diffusion(t) * root * at(z, i));
    if (isEuler(k)) {
      x = predicted;
      continue;
    }
    const after = drift(next, predicted);
    const mean = (diffusion(t) + diffusion(next)) / 2;
    x = x.map((value, i) => value + (h / 2) * (at(f, i) + at(after, i)) + mean * root * at(z, i));
  }
  return x;
}
