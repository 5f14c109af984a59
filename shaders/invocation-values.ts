import { must } from "../src/must.ts";
import type { Program, Step, Value } from "../src/network/program.ts";
import { type Cluster, placeOf, type Schedule } from "../src/network/stages.ts";
import { numberName, productName } from "../src/network/unit-text.ts";
import type { BlockedMatrix } from "./blocked-packing.ts";
import { givenContext } from "./classes.ts";
import { clusterStatements, type Naming } from "./cluster.ts";
import type { Tangents } from "./narrow-mlp.ts";
import { type Packing, packedFor } from "./packing.ts";
import { components, hasColumns, splat, type Tiling, vectorType } from "./tiling.ts";
import { range } from "./wgsl.ts";

/** What goes into a network beside the time. */
export interface NetworkSizes {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
}

/** Where the values of a network are in the text of an invocation: private arrays, packed weights, the table. */
export class InvocationValues {
  readonly program: Program;
  readonly groups: readonly number[];
  /** The vector type. */
  readonly v: string;
  readonly #sizes: NetworkSizes;
  readonly #packing: Packing<BlockedMatrix>;
  readonly #made: Schedule;
  readonly #tiling: Tiling;
  readonly #tangents: Tangents | undefined;
  /** By how much numbers grow from turn to turn of the loop that is being written. */
  strides: ReadonlyMap<string, number> = new Map();

  constructor(
    sizes: NetworkSizes,
    packing: Packing<BlockedMatrix>,
    made: Schedule,
    tiling: Tiling,
    tangents: Tangents | undefined,
  ) {
    this.#sizes = sizes;
    this.#packing = packing;
    this.#made = made;
    this.program = made.program;
    this.#tiling = tiling;
    this.#tangents = tangents;
    this.v = vectorType(tiling);
    this.groups = range(tiling.groups);
  }

  /** A product's matrix in the packing. */
  matrix(step: Extract<Step, { kind: "linear" }>): BlockedMatrix {
    return must(packedFor(this.#packing.matrices, step), `the packing of "${step.tensor}"`);
  }

  /** The first vec4 of a vector of the network. */
  vector(tensor: string): number {
    return must(this.#packing.vectors.get(tensor), `the packing of "${tensor}"`).at / 4;
  }

  /** The sets that a value has: 0, or one for each tangent. */
  sets(batched: boolean): number[] {
    return batched ? range(this.#tangents?.count ?? 0).map((s) => s + 1) : [0];
  }

  /** A number that may be another one in each turn. */
  number(name: string, first: number): string {
    const stride = this.strides.get(name) ?? 0;
    return stride === 0 ? `${first}u` : `(${first}u + turn * ${stride}u)`;
  }

  /** Number `row` (text) of a value for a set and a group. */
  read(value: Value, row: string, s: number, g: number): string {
    const step = this.program.at(value);
    if (step.kind === "parameter") {
      const at = this.number(numberName(value), this.vector(step.tensor));
      return splat(this.#tiling, `pf_weights[${at} + (${row}) / 4u][(${row}) % 4u]`);
    }
    const place = placeOf(this.#made, value);
    const start = place.buffer === "table" ? this.number(numberName(value), place.row) : `${place.row}u`;
    const at = start === "0u" ? row : `${start} + ${row}`;
    if (place.buffer !== "table") return `${place.buffer}_${step.batched ? s : 0}_${g}[${at}]`;
    if (hasColumns(this.#sizes, this.#tiling)) return splat(this.#tiling, `(*pf_column)[${at}]`);
    if (this.#sizes.classes === 0) return splat(this.#tiling, `pf_table[pf_column + ${at}]`);
    const column = (class_: string) => `pf_table[pf_column + ${class_} * ${place.rows}u + ${at}]`;
    if (this.#tiling.lanes === 1) return column(`class_${g}`);
    const lanes = components.slice(0, this.#tiling.lanes);
    return `${this.v}(${lanes.map((c) => column(`class_${g}.${c}`)).join(", ")})`;
  }

  /** Arrays of what goes in. */
  inputs(): string {
    const { dim, classes, context } = this.#sizes;
    const names = new Set(this.program.steps.flatMap((step) => (step.kind === "input" ? [step.name] : [])));
    const v = this.v;
    const array = (name: string, s: number, g: number, values: readonly string[]) =>
      `var ${name}_${s}_${g} = array<${v}, ${values.length}>(${values.join(", ")});`;
    const text: string[] = [];
    for (const g of this.groups) {
      text.push(
        array(
          "x",
          0,
          g,
          range(dim).map((i) => `y${g}_${i}`),
        ),
      );
      if (names.has("t")) text.push(array("t", 0, g, [`time${g}`]));
      if (names.has("label"))
        text.push(
          array(
            "label",
            0,
            g,
            range(classes).map((c) => {
              const is =
                this.#tiling.lanes === 1 ? `class_${g} == ${c}u` : `class_${g} == vec${this.#tiling.lanes}u(${c}u)`;
              return `select(${v}(0.0), ${v}(1.0), ${is})`;
            }),
          ),
        );
      if (names.has("context"))
        text.push(
          array(
            "context",
            0,
            g,
            range(context).map((i) => givenContext(`pf_context[${i}u * pf_params.stride + at${g}]`, v, classes)),
          ),
        );
      for (const s of this.sets(true)) {
        const unit = (i: number) =>
          this.#tangents?.kind === "basis" ? `${v}(${i === s - 1 ? "1.0" : "0.0"})` : `v${s}_${g}_${i}`;
        text.push(array("dx", s, g, range(dim).map(unit)));
      }
    }
    return text.join("\n");
  }

  declare(): string {
    const { dim } = this.#sizes;
    const slots = [
      ...this.#made.slots,
      { name: "u", rows: dim, batched: false },
      { name: "jv", rows: dim, batched: true },
    ];
    return slots
      .flatMap(({ name, rows, batched }) =>
        this.sets(batched).flatMap((s) => this.groups.map((g) => `var ${name}_${s}_${g}: array<${this.v}, ${rows}>;`)),
      )
      .join("\n");
  }

  naming(): Naming<string> {
    return {
      first: "0u",
      groups: this.groups,
      isShared: (value) => {
        const step = this.program.at(value);
        return (
          step.kind === "parameter" || (placeOf(this.#made, value).buffer === "table" && this.#sizes.classes === 0)
        );
      },
      sets: (batched) => this.sets(batched),
      read: (value, row, s, g) => this.read(value, row, s, g),
      write: ({ buffer, row: start }, row, s, g, value) =>
        `${buffer}_${s}_${g}[${start === 0 ? row : `${start}u + ${row}`}] = ${value};`,
    };
  }

  clusters(clusters: readonly Cluster[], o: Omit<Parameters<typeof clusterStatements<string>>[3], "keeps">) {
    return clusterStatements(this.#made, clusters, this.naming(), { ...o, keeps: true });
  }

  /** The first vec4 of a product's weights, in this turn. */
  matrixAt(value: Value): string {
    return this.number(productName(value), this.matrix(this.program.stepOf(value, "linear")).at);
  }
}
