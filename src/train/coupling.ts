import { groupGranule } from "../../shaders/sinkhorn.ts";
import { invalid } from "../errors.ts";
import { type Checked, checked, finite, integer, type Schema, single, word } from "../options/schema.ts";
import { checkWord } from "../options.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import type { ExactTransport, OptimalTransport, SinkhornTransport } from "./coupling-options.ts";

const shared = {
  reuse: { check: finite(1, 1e6), fallback: 4 },
  pool: { check: integer(1, 2 ** 24) },
  contextWeight: { check: single(1e-30, 1e30, "pass a number from 1e-30 to 1e30") },
};

const exactFields = {
  method: { check: word("exact"), required: true },
  // an exact assignment of n pairs takes up to O(n³)
  group: { check: integer(2, 1024), fallback: 256 },
  ...shared,
  threads: { check: integer(0, 64) },
} satisfies Schema<ExactTransport>;

/** ε in mean costs, from the least to the most. */
export const regularizationRange = [1e-4, 10] as const;

const sinkhornFields = {
  method: { check: word("sinkhorn"), required: true },
  group: {
    check(name, value) {
      const group = integer(groupGranule, 2 ** 16)(name, value);
      if (group % groupGranule === 0) return group;
      throw invalid(
        `${name} is ${group}, but it is a multiple of ${groupGranule}: pass ${group - (group % groupGranule)}`,
      );
    },
    fallback: 2048,
  },
  ...shared,
  regularization: { check: finite(...regularizationRange) },
  iterations: { check: integer(1, 1e5), fallback: 100 },
} satisfies Schema<SinkhornTransport>;

/** Groups whose pairs are kept for use again, where the user does not say how many. */
const defaultKept = { exact: 32, sinkhorn: 8 };

/** Each step looks through the groups that are kept. */
const mostKept = 65_536;

interface Kept {
  /** Groups from whose pairs batches are drawn; 0 where each pair is used once, in order. */
  readonly kept: number;
}
export type ExactPlan = Omit<Checked<typeof exactFields>, "pool"> & Kept;
export type SinkhornPlan = Omit<Checked<typeof sinkhornFields>, "pool"> & Kept;

/** How samples are paired. All but `threads` decides the bits of a training. */
export type CouplingPlan = ExactPlan | SinkhornPlan;

/** Checks the option `coupling`, which is not independent. */
export function couplingPlan(
  what: string,
  coupling: "optimal-transport" | OptimalTransport,
  { context }: Pick<TrainableVelocity, "context">,
  bridge?: number,
): CouplingPlan {
  const name = `${what}: coupling`;
  const given: OptimalTransport = typeof coupling === "string" ? { method: "exact" } : coupling;
  checkWord(`${name}.method`, given.method, ["exact", "sinkhorn"]);
  const { pool, ...o } =
    given.method === "exact"
      ? checked(name, exactFields, given, `${name}.`)
      : checked(name, sinkhornFields, given, `${name}.`);
  if (context > 0 && o.contextWeight === undefined)
    throw invalid(
      `${name} has no contextWeight, but pairs without regard to context would give every context a source of its own: pass for example coupling: { method: "exact", contextWeight: 10 }`,
    );
  if (context === 0 && o.contextWeight !== undefined)
    throw invalid(`${name}.contextWeight is ${o.contextWeight}, but this network has no context: leave it out`);
  if (pool !== undefined && o.reuse === 1)
    throw invalid(`${name}.pool is ${pool}, but with reuse 1 each pair is used once and none is kept: leave it out`);
  if (pool !== undefined && pool < o.group)
    throw invalid(
      `${name}.pool is ${pool}, but it holds at least one group of ${o.group} pairs: pass a multiple of that`,
    );
  const kept = o.reuse === 1 ? 0 : pool === undefined ? defaultKept[o.method] : Math.floor(pool / o.group);
  if (kept > mostKept)
    throw invalid(
      `${name}.pool is ${pool}, which is ${kept} groups of ${o.group}, but at most ${mostKept} are kept: pass larger groups or a smaller pool`,
    );
  if (o.method === "exact") return { ...o, kept };
  // with a bridge it follows from the mean cost
  const regularization = o.regularization ?? (bridge === undefined ? 0.01 : undefined);
  return { ...o, kept, ...(regularization !== undefined && { regularization }) };
}
