import { invalid, PushforwardError } from "../errors.ts";
import { checked, later, type Schema } from "../options/schema.ts";
import { checkFinite, show } from "../options.ts";
import type { Path, PathName } from "../path/names.ts";
import { checkPath } from "../path/paths.ts";
import type { ScoreField, StochasticOptions } from "./options.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

const fields = {
  diffusion: { check: later<StochasticOptions["diffusion"]>, required: true },
  path: { check: later<PathName | Path>, fallback: "conditional-optimal-transport" },
  score: { check: later<ScoreField> },
} satisfies Schema<StochasticOptions>;

/** Noise that has been checked: g at the times of the grid, and what the score is from. */
export interface Noise {
  readonly amounts: readonly number[];
  /** Of a score that follows from the velocity. */
  readonly path: Path | undefined;
  readonly score: ScoreField | undefined;
}

/**
 * Checks the option `sde` of a request of a flow of `dim` axes.
 *
 * @throws PushforwardError `invalid-argument`, `unsupported` for a source of which the velocity does not tell the score.
 */
export function checkNoise(
  { what, grid, logProb, source }: TrajectoryRequest,
  dim: number,
  given: StochasticOptions,
): Noise {
  const { diffusion, path, score } = checked(`${what}: sde`, fields, given, `${what}: sde.`);
  if (logProb.kind !== "none")
    throw invalid(
      `${what}: log p along a path with noise is not defined, but sde and logProb were given: leave one out; the samples have the density that logProb(x) tells`,
    );
  const { name } = grid.tableau;
  if (name !== "euler" && name !== "heun2")
    throw invalid(
      `${what}: sde is solved by Euler–Maruyama, solver.method "euler", or the stochastic Heun method, "heun2", but solver.method is ${name ? `"${name}"` : "a tableau"}: pass for example solver: { method: "heun2", steps: 100 }`,
    );
  const amounts = Array.from(grid.times, (t) => diffusionAt(what, diffusion, t));
  // without any noise the solve is the ODE's
  if (amounts.every((g) => g === 0)) return { amounts, path: undefined, score: undefined };
  if (score) return { amounts, path: undefined, score: checkScore(what, score, dim) };
  if (source.kind !== "gaussian" || source.densityRows)
    throw new PushforwardError(
      "unsupported",
      `${what}: the score follows from the velocity where the source is a Gaussian, but this flow's is ${source.densityRows ? "uniform on circles" : source.kind}: pass sde.score, a flow that was trained with predict: "score"`,
    );
  return { amounts, path: checkPath(`${what}: sde`, path), score };
}

function diffusionAt(what: string, diffusion: unknown, t: number): number {
  const value: unknown = typeof diffusion === "function" ? diffusion(t) : diffusion;
  return checkFinite(`${what}: sde.diffusion${typeof diffusion === "function" ? `(${t})` : ""}`, value, 0, 1e30);
}

function checkScore(what: string, score: unknown, dim: number): ScoreField {
  const flow = score as (Partial<ScoreField> & { forwardEngine?: unknown }) | null;
  const isFlow = typeof flow?.forwardEngine === "function";
  if (isFlow && flow.dim === dim) return flow as ScoreField;
  throw invalid(
    `${what}: sde.score is ${!isFlow ? show(score) : `a flow of dim ${flow.dim}`}, but it is a flow of dim ${dim} whose field is the score: train it with predict: "score"`,
  );
}
