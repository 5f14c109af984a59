import { invalid, PushforwardError } from "../errors.ts";
import type { DivergenceMode } from "../ode/engine.ts";
import type { TimeGrid } from "../ode/grid.ts";
import { checked } from "../options/schema.ts";
import { show } from "../options.ts";
import { divergenceFields } from "./fields.ts";
import type { Divergence } from "./options.ts";
import { checkAllFinite } from "./rows.ts";

/** A divergence checked against dim and particle count; given vectors come beside it. */
export interface DivergencePlan {
  readonly mode: DivergenceMode;
  readonly vectors?: Float32Array | undefined;
}

export function divergencePlan(
  what: string,
  divergence: Divergence | undefined,
  dim: number,
  n: number,
): DivergencePlan {
  const chosen = divergence ?? (dim <= 16 ? "exact" : { probe: "rademacher" as const });
  if (chosen === "exact") return { mode: { mode: "exact" } };
  if (typeof chosen !== "object" || chosen === null) {
    throw invalid(
      `${what}: divergence is ${show(chosen)}, but it is "exact" or { probe: "rademacher" | "gaussian", probes? }`,
    );
  }
  const name = `${what}: divergence`;
  const { probe, probes, vectors } = checked(name, divergenceFields, chosen, `${name}.`);
  if (vectors === undefined) return { mode: { mode: "probes", kind: probe, count: probes ?? 1 } };
  const fitting = n === 0 ? 1 : vectors.length / (n * dim);
  const count = probes ?? divergenceFields.probes.check(`${name}.probes`, fitting);
  if (vectors.length !== count * n * dim) {
    throw invalid(
      `${what}: divergence.vectors has ${vectors.length} values, but ${count} probe(s) for ${n} particles of dim ${dim} need ${count * n * dim}`,
    );
  }
  checkAllFinite(what, "divergence.vectors", vectors, dim);
  return { mode: { mode: "probes", kind: "given", count }, vectors };
}

/** What stands for a divergence where the objective is that of the steps themselves; `more` is what else keeps one from it. */
export function discretePlan(
  what: string,
  divergence: Divergence | undefined,
  dim: number,
  { adaptive, tableau }: TimeGrid,
  more?: string,
): DivergencePlan {
  const isEstimate = divergence !== undefined && divergence !== "exact";
  const got =
    more ??
    (dim > 3
      ? `dim is ${dim}`
      : adaptive
        ? `solver is ${tableau.name}`
        : isEstimate && `divergence is ${show(divergence)}`);
  if (got)
    throw new PushforwardError(
      "unsupported",
      `${what}: ${got}, but objective "discrete" is for dim 1 to 3, fixed steps and exact derivatives: change that, or leave objective out`,
    );
  return { mode: { mode: "discrete" } };
}
