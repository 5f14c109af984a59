import { invalid } from "../errors.ts";
import { frozenCopy } from "../options/frozen.ts";
import { checkInteger, checkKeys, checkSingle, checkWord, show } from "../options.ts";

/**
 * How an axis of the data, or several, lie in all of R: `interval`, between `low` and `high` without the ends, by the logit;
 * `positive` by the logarithm; `simplex`, `size` axes of parts above 0 whose sum is below 1, the rest to 1 being one more part, by
 * additive log-ratios, log(x_i/rest) (Aitchison 1986, §6.2); `latitude`, degrees between the poles, by the logit of the part of the sphere
 * that is south of it, which is twice Mercator's ordinate: with a circular axis for the longitude the two are a sphere; `circular`, angles and other numbers of which x and x + `period` are the
 * same, in the flow's own space in quarter turns: samples are in [`low`, `low` + `period`), data may be any finite numbers. null: as it is.
 *
 * On a circular axis the field has the period of a turn, for which networks take {@link circle}, as the option `circular` of {@link mlp} and
 * {@link residualMlp} has it; particles start uniformly; the normalization has no effect.
 */
export type AxisTransform =
  | { readonly kind: "interval"; readonly low: number; readonly high: number }
  | { readonly kind: "positive" }
  | { readonly kind: "simplex"; readonly size: number }
  | { readonly kind: "latitude" }
  | { readonly kind: "circular"; readonly period: number /** Default 0. */; readonly low?: number }
  | null;

/** One for each axis of the data; a simplex is one for its `size` axes. */
export type Transform = readonly AxisTransform[];

/** The kinds, and the settings of each. */
const kinds = {
  interval: ["kind", "low", "high"],
  positive: ["kind"],
  simplex: ["kind", "size"],
  latitude: ["kind"],
  circular: ["kind", "period", "low"],
};

/** Throws for what is no transform of `dim` axes. */
export function checkTransform(given: Transform, dim: number): Transform {
  if (!Array.isArray(given)) throw invalid(`transform is ${show(given)}, but it is a list`);
  for (const [i, one] of (given as Transform).entries()) {
    if (one === null) continue;
    const name = `transform[${i}]`;
    checkKeys(name, one, kinds[checkWord(`${name}.kind`, one?.kind, Object.keys(kinds) as (keyof typeof kinds)[])]);
    if (one.kind === "simplex") checkInteger(`${name}.size`, one.size, 1, dim);
    if (one.kind === "circular") {
      checkSingle(`${name}.period`, one.period);
      checkSingle(`${name}.low`, one.low ?? 0);
      if (!(one.period > 0)) throw invalid(`${name}.period is ${one.period}, but it is above 0`);
    }
    if (one.kind === "interval" && !(checkSingle(`${name}.low`, one.low) < checkSingle(`${name}.high`, one.high)))
      throw invalid(`${name}.low is ${one.low}, but it is less than high, ${one.high}`);
  }
  const axes = axesOf(given);
  if (axes !== dim) throw invalid(`transform is of ${axes} axes, but the flow has dim ${dim}`);
  return frozenCopy(given);
}

/** How many axes it is of. */
export const sizeOf = (one: AxisTransform) => (one?.kind === "simplex" ? one.size : 1);
export const axesOf = (transform: Transform) => transform.reduce((sum, one) => sum + sizeOf(one), 0);

/** The first axis of each transform that does anything, and it. */
export function blocks(transform: Transform): [axis: number, one: NonNullable<AxisTransform>][] {
  let next = 0;
  return transform.flatMap((one) => {
    const axis = next;
    next += sizeOf(one);
    return one ? [[axis, one]] : [];
  });
}

/** The axes that are circular. */
export const circularAxes = (transform: Transform | undefined): number[] =>
  transform ? blocks(transform).flatMap(([axis, one]) => (one.kind === "circular" ? [axis] : [])) : [];
