import type { Normalization } from "pushforward";
import { PushforwardError } from "../src/errors.ts";
import { withLastColumn } from "../src/flow/last-column.ts";
import { item } from "../src/must.ts";
import { UsageError } from "./context.ts";
import { shown } from "./csv-text.ts";

/** What a flow is conditioned on, by the names of columns. Kept in the flow's file. */
export interface Conditions {
  readonly labels?: string;
  /** Contexts are (c − mean) / scale before they go into the network. */
  readonly context?: { readonly names: readonly string[]; readonly normalization: Normalization };
  /** Whether the network has the length of a step behind its context, as a training with --shortcut makes it. */
  readonly shortcut?: true;
}

/** Metadata of a flow's file that holds {@link Conditions} as JSON. */
export const conditionsKey = "pushforward.conditions";

/** Conditions of some rows, as the library takes them. */
export interface Given {
  readonly labels?: Uint32Array;
  readonly context?: Float32Array;
}

/** Conditions as they were stored; undefined where there are none that can be read. */
export function parseConditions(text: string | undefined): Conditions | undefined {
  try {
    const value = JSON.parse(text ?? "") as Conditions;
    const { labels, context, shortcut } = value;
    const isList = (list: unknown, kind: string) => Array.isArray(list) && list.every((part) => typeof part === kind);
    const isContext = ({ names, normalization: { mean, scale } }: NonNullable<Conditions["context"]>) =>
      isList(names, "string") && isList(mean, "number") && isList(scale, "number") && mean.length === names.length;
    return (labels === undefined || typeof labels === "string") &&
      (context === undefined || isContext(context)) &&
      (shortcut === undefined || shortcut === true)
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}

/** Names of the columns that hold conditions. */
export const conditionColumns = ({ labels, context }: Conditions): readonly string[] => [
  ...(labels === undefined ? [] : [labels]),
  ...(context?.names ?? []),
];

/** Some columns of a table [rows, all], as [rows, wanted]. */
export function takeColumns(data: Float64Array, all: readonly string[], wanted: readonly string[]): Float64Array {
  const rows = data.length / all.length;
  const indices = wanted.map((name) => all.indexOf(name));
  const taken = new Float64Array(rows * wanted.length);
  for (let row = 0; row < rows; row++)
    for (const [k, index] of indices.entries())
      taken[row * wanted.length + k] = data[row * all.length + index] as number;
  return taken;
}

/** The conditions of the rows of a table; throws for labels that are no classes. */
export function givenOf(conditions: Conditions, data: Float64Array, all: readonly string[], classes?: number): Given {
  const { labels, context } = conditions;
  return {
    ...(labels !== undefined && { labels: labelsOf(labels, takeColumns(data, all, [labels]), classes) }),
    ...(context && { context: contextOf(context, takeColumns(data, all, context.names)) }),
  };
}

/** Numbers of the context that rows have: all but the length of a step. */
export const contextWidth = (conditions: Conditions, velocity: { readonly context: number }): number =>
  velocity.context - (conditions.shortcut ? 1 : 0);

/** The conditions of `rows` rows as a solve takes them: with the length of its steps, 0 for those of a solver, where the flow has one. */
export function givenForSolve<G extends Given>(given: G, { shortcut }: Conditions, rows: number, length = 0): G {
  if (!shortcut) return given;
  const { context } = given;
  const width = 1 + (context && rows > 0 ? context.length / rows : 0);
  return { ...given, context: withLastColumn(context, rows, width, length) };
}

/** Contexts as the network gets them. */
function contextOf({ names, normalization }: NonNullable<Conditions["context"]>, rows: Float64Array): Float32Array {
  const { mean, scale } = normalization;
  return Float32Array.from(rows, (value, i) => (value - item(mean, i % names.length)) / item(scale, i % names.length));
}

const mostClasses = 10_000;

function labelsOf(name: string, values: Float64Array, classes = mostClasses): Uint32Array {
  const wrong = values.find((value) => !Number.isInteger(value) || value < 0 || value >= classes);
  if (wrong !== undefined)
    throw new PushforwardError(
      "invalid-argument",
      `the column ${shown(name)} has ${wrong}, but labels are whole numbers from 0 to ${classes - 1}`,
    );
  return Uint32Array.from(values);
}

/** What a command line says of the conditions of all rows alike. */
export interface ChosenConditions {
  label?: number;
  context?: number[];
  guidance?: number;
  /** Steps, each in one go. */
  shortcuts?: number;
}

/**
 * The conditions of the command line, as one row that goes for all. Throws where the flow needs others.
 *
 * @param given by the flow
 */
export function chosenConditions(
  { label, context, guidance, shortcuts }: ChosenConditions,
  conditions: Conditions,
  given: { readonly classes: number; readonly context: number },
): Given & { guidance?: number } {
  const sizes = { classes: given.classes, context: contextWidth(conditions, given) };
  if (guidance !== undefined && sizes.classes + sizes.context === 0)
    throw new UsageError(
      "--guidance leads towards a class or a context, but this flow was trained without --labels and --context: leave it out",
    );
  if (label !== undefined && sizes.classes === 0)
    throw new UsageError("--label chooses a class, but this flow was trained without --labels: leave it out");
  if (label !== undefined && label >= sizes.classes)
    throw new UsageError(`--label is ${label}, but the flow has the classes 0 to ${sizes.classes - 1}`);
  if (context === undefined ? sizes.context > 0 : context.length !== sizes.context) {
    const names = conditions.context?.names.map(shown).join(", ");
    throw new UsageError(
      sizes.context === 0
        ? "--context gives numbers that a flow depends on, but this one was trained without --context: leave it out"
        : `${context ? `--context has ${context.length === 1 ? "one number" : `${context.length} numbers`}, but ` : ""}the flow depends on ${sizes.context === 1 ? "a number" : `${sizes.context} numbers`}${names ? ` (${names})` : ""}: give ${sizes.context === 1 ? "it" : "them"} with --context`,
    );
  }
  const row = context && (conditions.context ? contextOf(conditions.context, Float64Array.from(context)) : context);
  const chosen = {
    ...(label !== undefined && { labels: Uint32Array.of(label) }),
    ...(row && { context: Float32Array.from(row) }),
    ...(guidance !== undefined && { guidance }),
  };
  return givenForSolve(chosen, conditions, 1, shortcuts && 1 / shortcuts);
}
