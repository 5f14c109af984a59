import type { Flow, Solver } from "pushforward";
import { solverOf } from "./arguments.ts";
import { type Conditions, givenForSolve } from "./conditions.ts";
import type { Context } from "./context.ts";
import type { Rows } from "./objective.ts";
import { count } from "./report.ts";
import { Scores } from "./scores.ts";
import type { TrainOptions } from "./training-options.ts";

/** log p of the rows that were held out, by N solver steps and by 2N. */
export async function scoreHeldOut(
  { signal }: Context,
  flow: Flow,
  columns: readonly string[],
  conditions: Conditions,
  { data: held, given: own }: Rows,
  { evaluationSteps }: TrainOptions,
): Promise<Scores> {
  const scores = new Scores(columns);
  const given = givenForSolve(own, conditions, held.length / flow.dim);
  const [single, double] = [1, 2].map((factor) => solverOf({ method: "midpoint", steps: evaluationSteps }, factor));
  const scored = await flow.logProb(held, { ...given, solver: single as Solver, signal });
  scores.add(held, scored, await flow.logProb(held, { ...given, solver: double as Solver, signal }));
  return scores;
}

/** For JSON. */
export function heldOutFigures(
  { figures: { mean, ...rest }, change }: Scores,
  { evaluationSteps: steps }: TrainOptions,
) {
  const { unfinished: _, ...figures } = rest;
  return { logLikelihood: mean, ...figures, steps, changeWithTwiceTheSteps: change.mean };
}

/** As lines. */
export function heldOutText(scores: Scores, { evaluationSteps: steps }: TrainOptions): string[] {
  const { count: finite } = scores.mean;
  const rows = finite === scores.rows ? "" : ` over ${count(finite)} of ${count(scores.rows)} rows`;
  return [
    `held-out log-likelihood ${scores.text}${finite > 0 ? ` per row${rows} (midpoint, ${steps} steps)` : ""}`,
    ...(finite > 0 ? [`with ${2 * steps} steps it changes by ${scores.changeText}`] : []),
  ];
}
