import { at, type Vector } from "./vectors.ts";

export interface AdamOptions {
  readonly learningRate: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** AdamW: θ ← θ − ηλθ before the step, not through the moments. */
  readonly weightDecay?: number;
}

export interface AdamState {
  readonly m: Float64Array;
  readonly v: Float64Array;
  step: number;
}

export function adamState(count: number): AdamState {
  return { m: new Float64Array(count), v: new Float64Array(count), step: 0 };
}

/** One step of Adam or AdamW, in place (Kingma & Ba 2015; Loshchilov & Hutter 2019); ε stands outside the root, the step count is an integer from 1. */
export function adamStep(theta: Float64Array, gradient: Vector, state: AdamState, options: AdamOptions): void {
  const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  state.step++;
  for (let i = 0; i < theta.length; i++) {
    const g = at(gradient, i);
    const m = beta1 * at(state.m, i) + (1 - beta1) * g;
    const v = beta2 * at(state.v, i) + (1 - beta2) * g * g;
    state.m[i] = m;
    state.v[i] = v;
    const decayed = at(theta, i) * (1 - learningRate * weightDecay);
    const direction = m / (1 - beta1 ** state.step) / (Math.sqrt(v / (1 - beta2 ** state.step)) + epsilon);
    theta[i] = decayed - learningRate * direction;
  }
}

/** e ← βe + (1 − β)θ, in place. */
export function emaStep(average: Float64Array, theta: Vector, beta: number): void {
  for (let i = 0; i < average.length; i++) average[i] = beta * at(average, i) + (1 - beta) * at(theta, i);
}

/** ‖g‖ over all tensors at once. */
export function globalNorm(gradients: Record<string, Vector>): number {
  return Math.sqrt(Object.values(gradients).reduce((sum, g) => sum + Array.from(g).reduce((s, v) => s + v * v, 0), 0));
}

/** min(1, limit/‖g‖), what clipping multiplies every gradient by. */
export function clipFactor(gradients: Record<string, Vector>, limit: number): number {
  return Math.min(1, limit / globalNorm(gradients));
}
