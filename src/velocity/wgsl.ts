import { invalid } from "../errors.ts";
import { checkInteger, checkKeys, show } from "../options.ts";

export interface WgslVelocityOptions {
  dim: number;
  /** Defines `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM>`, and optionally `fn divergence(t: f32, x: array<f32, DIM>) -> f32`. */
  code: string;
}

/** A velocity field in closed form, written in WGSL. Made by {@link wgslVelocity}. */
export interface WgslVelocity {
  readonly kind: "wgsl";
  readonly dim: number;
  readonly code: string;
  readonly hasDivergence: boolean;
  /** Guess of the work of one evaluation, for sizing dispatches. */
  readonly flops: number;
}

/** Largest dim of a field given as WGSL: its state is held in registers. */
const largestDim = 64;

/**
 * A velocity field u_t(x) in closed form. `DIM` is defined for the code. Names that begin with `pf_` are the library's.
 *
 * Its divergence is the code's own function; without one, and for J·v and Jᵀ·w, derivatives are generated from the code by dual
 * numbers, never taken from differences. Functions, constants, vectors, arrays, branches and loops are known; matrices, structs,
 * pointers and switch are told as `unsupported` when a derivative is asked for.
 *
 * @throws PushforwardError `invalid-argument` when the code lacks a `velocity` function; `shader` at the first call when it does not compile.
 * @example
 * import { wgslVelocity } from "pushforward";
 * const rotation = wgslVelocity({
 *   dim: 2,
 *   code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }
 *          fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
 * });
 */
export function wgslVelocity(options: WgslVelocityOptions): WgslVelocity {
  checkKeys("wgslVelocity", options, ["dim", "code"]);
  const dim = checkInteger("wgslVelocity: dim", options.dim, 1, largestDim);
  const { code } = options;
  if (typeof code !== "string")
    throw invalid(`wgslVelocity: code is ${show(code)}, but it is WGSL text that defines fn velocity`);
  const plain = code.replace(/\/\/.*$/gm, "").replace(/\/\*[\s\S]*?\*\//g, "");
  if (!/\bfn\s+velocity\s*\(/.test(plain)) {
    throw invalid(
      "wgslVelocity: the code defines no fn velocity: write fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { … }",
    );
  }
  return Object.freeze({
    kind: "wgsl",
    dim,
    code,
    hasDivergence: /\bfn\s+divergence\s*\(/.test(plain),
    flops: Math.max(50, 2 * plain.length),
  });
}
