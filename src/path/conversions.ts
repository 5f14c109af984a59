import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { checked, later, type Schema, word } from "../options/schema.ts";
import { checkFinite, show } from "../options.ts";
import { checkPath, type Path, type PathName } from "./paths.ts";

/** What a model tells of x_t: u_t(x), ∇log p_t(x), E[x_0 | x_t = x] (the noise), or E[x_1 | x_t = x] (the data). */
export type Prediction = "velocity" | "score" | "x0" | "x1";

const prediction = word("velocity", "score", "x0", "x1");

const fields = {
  from: { check: prediction, required: true },
  to: { check: prediction, required: true },
  path: { check: later<PathName | Path>, fallback: "conditional-optimal-transport" },
} satisfies Schema<{ from: Prediction; to: Prediction; path?: PathName | Path }>;

/** a, b of wanted = a x + b given, from α, σ, α̇, σ̇ and D = α̇σ − σ̇α (Lipman et al. 2024, table 1). */
type Rule = (a: number, s: number, da: number, ds: number, D: number) => [x: number, given: number];

const rules: Readonly<Record<string, Rule>> = {
  "velocity x1": (_a, s, _da, ds, D) => [-ds / D, s / D],
  "velocity x0": (a, _s, da, _ds, D) => [da / D, -a / D],
  "velocity score": (a, s, da, _ds, D) => [-da / (s * D), a / (s * D)],
  "x1 velocity": (_a, s, _da, ds, D) => [ds / s, D / s],
  "x1 x0": (a, s) => [1 / s, -a / s],
  "x1 score": (a, s) => [-1 / s ** 2, a / s ** 2],
  "x0 velocity": (a, _s, da, _ds, D) => [da / a, -D / a],
  "x0 x1": (a, s) => [1 / a, -s / a],
  "x0 score": (_a, s) => [0, -1 / s],
  "score velocity": (a, s, da, _ds, D) => [da / a, (s * D) / a],
  "score x1": (a, s) => [1 / a, s ** 2 / a],
  "score x0": (_a, s) => [0, -s],
};

/**
 * Turns what a model predicts at x_t into another prediction of it. `values` and `x` are [n, dim] in the flow's own space, `t` is one
 * time or [n]. Between velocity, x0 and x1 this holds for every source and coupling; the score only for a source N(0, I) that is
 * independent of the data, since then s = −E[x_0 | x_t]/σ_t (Lipman et al. 2024, §4.8).
 *
 * @throws PushforwardError `invalid-argument` for shapes that do not match, and at times where the conversion divides by zero: by
 * α at t = 0, by σ at t = 1.
 * @example
 * import { convertPrediction } from "pushforward/paths";
 * const x = Float32Array.of(0.9, 0.2);
 * const score = convertPrediction(Float32Array.of(1, -1), x, 0.3, { from: "velocity", to: "score", path: "cosine" });
 */
export function convertPrediction(
  values: Float32Array,
  x: Float32Array,
  t: number | Float32Array,
  o: { from: Prediction; to: Prediction; path?: PathName | Path },
): Float32Array {
  const what = "convertPrediction";
  values = readable(`${what}: values`, values);
  x = readable(`${what}: x`, x);
  t = readable(`${what}: t`, t);
  const { from, to, path: givenPath } = checked(what, fields, o);
  const path = checkPath(what, givenPath);
  for (const [name, value] of Object.entries({ values, x }))
    if (!(value instanceof Float32Array)) throw invalid(`${what}: ${name} is ${show(value)}, but it is a Float32Array`);
  if (values.length !== x.length)
    throw invalid(`${what}: values has ${values.length} numbers and x ${x.length}: pass one prediction for each state`);
  if (typeof t !== "number" && !(t instanceof Float32Array))
    throw invalid(`${what}: t is ${show(t)}, but it is one time, or a Float32Array with one for each row`);
  const times = typeof t === "number" ? Float32Array.of(t) : t;
  if (typeof t !== "number" && (t.length === 0 ? x.length > 0 : x.length % t.length !== 0))
    throw invalid(`${what}: t has ${t.length} times, but x has ${x.length} values: pass one time, or one for each row`);
  const rule = rules[`${from} ${to}`];
  if (!rule) return values.slice();
  const result = new Float32Array(x.length);
  const dim = x.length / times.length;
  for (let row = 0; row < times.length; row++) {
    const time = checkFinite(`${what}: t`, typeof t === "number" ? t : times[row], 0, 1);
    const [a, s, da, ds] = [path.alpha(time), path.sigma(time), path.dAlpha(time), path.dSigma(time)];
    const [ofX, ofValue] = rule(a, s, da, ds, da * s - ds * a);
    if (!Number.isFinite(ofX) || !Number.isFinite(ofValue))
      throw invalid(
        `${what}: ${from} → ${to} is not defined at t = ${time}, where α = ${a} and σ = ${s}: stay away from the ends of [0, 1]`,
      );
    for (let i = row * dim; i < (row + 1) * dim; i++)
      result[i] = ofX * (x[i] as number) + ofValue * (values[i] as number);
  }
  return result;
}
