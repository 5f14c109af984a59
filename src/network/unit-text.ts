import { must } from "../must.ts";
import { argumentsOf, type Step, type Value } from "./program.ts";
import type { Repeatable } from "./repeats.ts";
import { clustersOf, type Unit } from "./row-loops.ts";
import { type Cluster, placeOf, type Schedule } from "./stages.ts";

/** Numbers in the text of a kernel by which the same steps reach other weights, or other rows of the table. */
export interface Numbers {
  /** Where a product's weights begin. */
  matrix(step: Extract<Step, { kind: "linear" }>): { readonly at: number };
  /** Where a vector begins. */
  vector(tensor: string): number;
}

/** What the number is called by which a kernel reads a value. */
export const numberName = (value: Value): string => `of ${value}`;

/** What the number is called by which a kernel reads the weights of a product. */
export const productName = (value: Value): string => `weights of ${value}`;

/** Says what a unit does, without the numbers of its values: units that say the same have the same text but for their numbers. */
export function describe(made: Schedule, unit: Unit, of: Numbers): Repeatable {
  const { program } = made;
  const numbers = new Map<string, number>();
  const own = new Map<Value, number>();
  const number = (name: string, value: number) => {
    if (!numbers.has(name)) numbers.set(name, value);
    return `@${[...numbers.keys()].indexOf(name)}`;
  };
  const place = (value: Value) => {
    const { buffer, row } = placeOf(made, value);
    return `${buffer} ${buffer === "table" ? number(numberName(value), row) : row}`;
  };
  const read = (value: Value): string => {
    const known = own.get(value);
    if (known !== undefined) return `#${known}`;
    const { kind, width, batched, ...step } = program.at(value);
    const where =
      kind === "parameter" ? number(numberName(value), of.vector((step as { tensor: string }).tensor)) : place(value);
    return `${where} ${width} ${batched}`;
  };
  const write = (value: Value): string => {
    const step = program.at(value);
    const { width, batched } = step;
    const reads = argumentsOf(step).map(read).join(", ");
    if (!own.has(value)) own.set(value, own.size);
    const what =
      step.kind === "linear"
        ? `${step.to - step.from} ${step.bias !== undefined} ${number(productName(value), of.matrix(step).at)}`
        : JSON.stringify("function" in step ? step.function : "matrix" in step ? [step.matrix, step.turns] : "");
    return `#${own.get(value)} = ${step.kind} ${what} ${width} ${batched} of ${reads}`;
  };
  const cluster = ({ members, stores }: Cluster) =>
    [...members.map(write), ...stores.map((value) => `${read(value)} to ${place(value)}`)].join("; ");
  const said = (): string => {
    switch (unit.kind) {
      case "loop": {
        const sums = unit.rows.map((stage) =>
          stage.kind === "sums" ? stage : { sums: [], cluster: { members: [], stores: [] } },
        );
        return [
          unit.count,
          ...unit.products.map(({ value }) => write(value)),
          ...clustersOf(unit).map(cluster),
          ...sums.map(({ sums, cluster: after }) => `${sums.map(write).join("; ")} then ${cluster(after)}`),
        ].join("\n");
      }
      case "project":
        return `${write(unit.value)}\n${cluster(unit.cluster)}`;
      case "copy":
        return `${unit.from === undefined ? "zeros" : read(unit.from)} ${unit.width} ${unit.batched} to ${unit.to.buffer} ${unit.to.row}`;
      default:
        return "";
    }
  };
  const costOf = (value: Value) => program.width(must(argumentsOf(program.at(value))[0], "what a product reads"));
  const cost = 1 + (unit.kind === "loop" ? unit.products.reduce((sum, { value }) => sum + costOf(value), 0) : 0);
  return { text: said(), numbers, cost };
}
