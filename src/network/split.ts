import { mergeScales } from "./affine.ts";
import { copyStep } from "./derivatives.ts";
import { type Part, Program, type Result, reached, type Value } from "./program.ts";
import type { Place } from "./stages.ts";

/** A network in two parts: what depends on the time and the label alone, and the rest, which reads it as inputs. */
export interface SplitNetwork {
  readonly program: Program;
  readonly output: Value;
  /** What is the same for all particles at one time and of one class; its rows stand in this order. */
  readonly table: { readonly program: Program; readonly entries: readonly TableEntry[]; readonly rows: number };
}

/** An input of the rest, `name`, that is a value of the table's program; `row` is its first one. */
interface TableEntry {
  readonly name: string;
  readonly value: Value;
  readonly row: number;
}

/** Where the rest's inputs lie in a buffer with the rows of the table. */
export function tablePlaces({ entries, rows }: SplitNetwork["table"], buffer: string): Map<string, Place> {
  return new Map(entries.map(({ name, row }) => [name, { buffer, row, rows }]));
}

/** Whether each value is another one for each particle. */
const ofParticles = (program: Program): boolean[] =>
  reached(program, (step) => step.kind === "input" && (step.name === "x" || step.name === "context"));

/**
 * Splits a program: steps behind x or the context stay, and read those that are not as inputs. A product with inputs of both kinds is
 * split by its columns; several scales and shifts by what is read become one of each.
 */
export function splitNetwork(given: Program, result: Value): SplitNetwork {
  const isFixed = ofParticles(given).map((own) => !own);
  const { program: from, output } = mergeScales(given, result, isFixed) ?? { program: given, output: result };
  const depends = ofParticles(from);
  const rest = new Program();
  const table = new Program();
  const inRest = new Map<Value, Value>();
  const inTable = new Map<Value, Value>();
  const entries: TableEntry[] = [];
  let rows = 0;
  const enter = (value: Value): Value => {
    const width = table.width(value);
    const known = entries.find((entry) => entry.value === value);
    const name = known?.name ?? `table ${entries.length}`;
    if (!known) {
      entries.push({ name, value, row: rows });
      // the numbers of a column begin where a vec4 may
      rows += Math.ceil(width / 4) * 4;
    }
    return rest.input(name, width);
  };
  const found = (values: ReadonlyMap<Value, Value>, value: Value): Value => {
    const there = values.get(value);
    if (there === undefined) throw new Error(`step ${value} has not been split`);
    return there;
  };
  const restOf = (value: Value): Value => (depends[value] ? found(inRest, value) : enter(found(inTable, value)));
  const tableOf = (value: Value): Value => found(inTable, value);

  /** W·[a, b, …] as products with the parts' own columns; those of the table come with the bias. */
  const splitLinear = (step: Result & { kind: "linear" }, parts: readonly Part[]): Value => {
    const terms: Value[] = [];
    let fixed: Value | undefined;
    let column = step.from;
    for (const part of parts) {
      if (typeof part !== "number") {
        column += part.zeros;
        continue;
      }
      const width = from.width(part);
      const matrix = { tensor: step.tensor, outputs: step.width };
      if (depends[part]) terms.push(rest.linear(restOf(part), matrix, undefined, column));
      else {
        const product = table.linear(tableOf(part), matrix, fixed === undefined ? step.bias : undefined, column);
        fixed = fixed === undefined ? product : table.add(fixed, product);
      }
      column += width;
    }
    const all = fixed === undefined ? terms : [...terms, enter(fixed)];
    return all.reduce((sum, term) => rest.add(sum, term));
  };

  for (const [i, step] of from.steps.entries()) {
    if (!depends[i]) {
      inTable.set(i, copyStep(table, step, tableOf));
      continue;
    }
    const read = step.kind === "linear" ? from.at(step.of) : undefined;
    const isMixed = read?.kind === "concat" && read.parts.some((part) => typeof part === "number" && !depends[part]);
    inRest.set(i, step.kind === "linear" && isMixed ? splitLinear(step, read.parts) : copyStep(rest, step, restOf));
  }
  return { program: rest, output: restOf(output), table: { program: table, entries, rows } };
}
