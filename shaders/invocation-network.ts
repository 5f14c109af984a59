import { item, must } from "../src/must.ts";
import type { Program, Value } from "../src/network/program.ts";
import { type Cluster, grouped, placeOf, type Schedule, type Stage } from "../src/network/stages.ts";
import type { BlockedMatrix } from "./blocked-packing.ts";
import { givenContext } from "./classes.ts";
import { clusterStatements, type Naming } from "./cluster.ts";
import type { Tangents } from "./narrow-mlp.ts";
import { type Packing, packedFor } from "./packing.ts";
import { type ProjectedName, projectedInput, projectedRow } from "./row-functions.ts";
import { components, splat, type Tiling, vectorType } from "./tiling.ts";
import { lines } from "./wgsl.ts";

type Linear = Extract<Stage, { kind: "linear" | "project" }>;

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** What goes into a network beside the time. */
interface NetworkSizes {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
}

/** Writes the stages of a schedule as statements on private arrays: what FusedNetwork.text (fused-network.ts) gives. */
export class InvocationNetwork {
  readonly #sizes: NetworkSizes;
  readonly #packing: Packing<BlockedMatrix>;
  readonly #made: Schedule;
  readonly #p: Program;
  readonly #tiling: Tiling;
  readonly #tangents: Tangents | undefined;
  readonly #v: string;
  readonly #groups: readonly number[];
  readonly #outputs: number;

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
    this.#p = made.program;
    this.#tiling = tiling;
    this.#tangents = tangents;
    this.#v = vectorType(tiling);
    this.#groups = range(tiling.groups);
    this.#outputs = tiling.outputs;
  }

  /** The sets that a value has: 0, or one for each tangent. */
  #sets(batched: boolean): number[] {
    return batched ? range(this.#tangents?.count ?? 0).map((s) => s + 1) : [0];
  }

  /** Number `row` (text) of a value for a set and a group. */
  #read(value: Value, row: string, s: number, g: number): string {
    const step = this.#p.at(value);
    if (step.kind === "parameter") {
      const vector = must(this.#packing.vectors.get(step.tensor), `the packing of "${step.tensor}"`);
      return splat(this.#tiling, `pf_weights[${vector.at / 4}u + (${row}) / 4u][(${row}) % 4u]`);
    }
    const place = placeOf(this.#made, value);
    const at = place.row === 0 ? row : `${place.row}u + ${row}`;
    if (place.buffer !== "table") return `${place.buffer}_${step.batched ? s : 0}_${g}[${at}]`;
    const column = (class_: string) => `pf_table[(${at}) * pf_params.columns + pf_column + ${class_}]`;
    if (this.#sizes.classes === 0) return splat(this.#tiling, column("0u"));
    if (this.#tiling.lanes === 1) return column(`class_${g}`);
    const lanes = components.slice(0, this.#tiling.lanes);
    return `${this.#v}(${lanes.map((c) => column(`class_${g}.${c}`)).join(", ")})`;
  }

  text(): string {
    const { dim } = this.#sizes;
    const parts: string[] = [this.#inputs(), this.#declare()];
    // each weight is read once for the value and its tangents
    for (const group of grouped(this.#made)) {
      const [stage] = group as [Stage];
      parts.push(stage.kind === "linear" ? this.#linear(group as Linear[]) : this.#other(stage));
    }
    const each = (text: (g: number) => string) => this.#groups.map(text).join("\n");
    parts.push(each((g) => lines(dim, (i) => `u${g}_${i} = u_0_${g}[${i}];`)));
    for (const s of this.#sets(true))
      parts.push(
        each((g) =>
          lines(dim, (i) =>
            this.#tangents?.kind === "basis" && i !== s - 1 ? "" : `jv${s}_${g}_${i} = jv_${s}_${g}[${i}];`,
          ),
        ),
      );
    return `{\n${parts.join("\n")}\n}`;
  }

  /** Arrays of what goes in. */
  #inputs(): string {
    const { dim, classes, context } = this.#sizes;
    const names = new Set(this.#p.steps.flatMap((step) => (step.kind === "input" ? [step.name] : [])));
    const v = this.#v;
    const array = (name: string, s: number, g: number, values: readonly string[]) =>
      `var ${name}_${s}_${g} = array<${v}, ${values.length}>(${values.join(", ")});`;
    const text: string[] = [];
    for (const g of this.#groups) {
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
      for (const s of this.#sets(true)) {
        const unit = (i: number) =>
          this.#tangents?.kind === "basis" ? `${v}(${i === s - 1 ? "1.0" : "0.0"})` : `v${s}_${g}_${i}`;
        text.push(array("dx", s, g, range(dim).map(unit)));
      }
    }
    return text.join("\n");
  }

  #declare(): string {
    const { dim } = this.#sizes;
    const slots = [
      ...this.#made.slots,
      { name: "u", rows: dim, batched: false },
      { name: "jv", rows: dim, batched: true },
    ];
    return slots
      .flatMap(({ name, rows, batched }) =>
        this.#sets(batched).flatMap((s) =>
          this.#groups.map((g) => `var ${name}_${s}_${g}: array<${this.#v}, ${rows}>;`),
        ),
      )
      .join("\n");
  }

  #naming(): Naming<string> {
    return {
      first: "0u",
      groups: this.#groups,
      sets: (batched) => this.#sets(batched),
      read: (value, row, s, g) => this.#read(value, row, s, g),
      write: ({ buffer, row: start }, row, s, g, value) =>
        `${buffer}_${s}_${g}[${start === 0 ? row : `${start}u + ${row}`}] = ${value};`,
    };
  }

  #clusters(
    clusters: readonly Cluster[],
    o: { row: string; tag: string; sums?: (value: Value, s: number, g: number) => string | undefined },
  ) {
    return clusterStatements(this.#made, clusters, this.#naming(), o);
  }

  #linear(stages: readonly Linear[]): string {
    const outputs = this.#outputs;
    const text: string[] = [];
    const products = stages.map(({ value }) => ({ value, step: this.#p.stepOf(value, "linear") }));
    // joined products have the same weights
    const { step: first } = item(products, 0);
    const { from, to, width } = first;
    const matrix = must(packedFor(this.#packing.matrices, first), `the packing of "${first.tensor}"`);
    for (const { step, value } of products)
      for (const s of this.#sets(step.batched))
        for (const g of this.#groups)
          text.push(lines(to - from, (k) => `let h${value}_${s}_${g}_${k} = ${this.#read(step.of, `${k}u`, s, g)};`));
    const blocks = Math.ceil(width / outputs);
    const isSingle = blocks === 1;
    const wanted = (r: number) => !isSingle || r < width;
    const body: string[] = [];
    const base = `pf_weights[${matrix.at}u + jb * ${matrix.block}u + `;
    for (const { step, value } of products) {
      if (step.bias !== undefined) body.push(`let bias${value} = ${base}${matrix.block - 1}u];`);
      for (const s of this.#sets(step.batched))
        for (const g of this.#groups)
          for (const r of range(outputs).filter(wanted)) {
            const start =
              step.bias === undefined ? `${this.#v}(0.0)` : splat(this.#tiling, `bias${value}.${components[r]}`);
            body.push(`var a${value}_${s}_${g}_${r} = ${start};`);
          }
    }
    const { gather } = this.#tiling;
    for (const n of range(matrix.block - 1)) {
      if (gather > 0) {
        // lanes of a subgroup fetch weights for each other; what one of them fetches beyond the block is not used
        const lane = n % gather;
        if (lane === 0) body.push(`let c${n} = ${base}${n}u + pf_lane];`);
        body.push(`let w${n} = subgroupBroadcast(c${n - lane}, ${lane}u);`);
      } else body.push(`let w${n} = ${base}${n}u];`);
      for (const part of range(4)) {
        const k = Math.floor((4 * n + part) / outputs);
        const r = (4 * n + part) % outputs;
        if (k >= matrix.inputs || !wanted(r)) continue;
        for (const { step, value } of products)
          for (const s of this.#sets(step.batched))
            for (const g of this.#groups) {
              const a = `a${value}_${s}_${g}_${r}`;
              const weight = splat(this.#tiling, `w${n}.${components[part]}`);
              body.push(`${a} = fma(h${value}_${s}_${g}_${k}, ${weight}, ${a});`);
            }
      }
    }
    for (const r of range(outputs).filter(wanted)) {
      const row = `jb * ${outputs}u + ${r}u`;
      const sums = (sum: Value, s: number, g: number) =>
        stages.some(({ value }) => value === sum) ? `a${sum}_${s}_${g}_${r}` : undefined;
      const clusters = stages.map(({ cluster }) => cluster);
      const { text: own } = this.#clusters(clusters, { row, tag: `_${r}`, sums });
      body.push(width % outputs === 0 || isSingle ? own : `if (${row} < ${width}u) {\n${own}\n}`);
    }
    text.push(
      isSingle
        ? `{\nconst jb = 0u;\n${body.join("\n")}\n}`
        : `for (var jb = 0u; jb < ${blocks}u; jb++) {\n${body.join("\n")}\n}`,
    );
    return `{\n${text.join("\n")}\n}`;
  }

  #other(stage: Stage): string {
    switch (stage.kind) {
      case "rows": {
        const { text: body } = this.#clusters([stage.cluster], { row: stage.width === 1 ? "0u" : "row", tag: "" });
        return stage.width === 1 ? `{\n${body}\n}` : `for (var row = 0u; row < ${stage.width}u; row++) {\n${body}\n}`;
      }
      case "copy": {
        const { from, to, width } = stage;
        const sets = this.#sets(stage.batched);
        const each = sets.flatMap((s) =>
          this.#groups.map((g) => {
            const value = from === undefined ? `${this.#v}(0.0)` : this.#read(from, "row", s, g);
            return `${to.buffer}_${s}_${g}[${to.row}u + row] = ${value};`;
          }),
        );
        return `for (var row = 0u; row < ${width}u; row++) {\n${each.join("\n")}\n}`;
      }
      case "sums":
        return this.#sums(stage);
      case "project":
        return this.#project(stage);
      default:
        throw new Error(`a fused kernel has no ${stage.kind}`);
    }
  }

  #sums({ sums, inner, cluster }: Extract<Stage, { kind: "sums" }>): string {
    const operands = sums.map((sum) => this.#p.stepOf(sum, "sum").of);
    const { batched, width } = this.#p.at(operands[0] as Value);
    const all = this.#sets(batched).flatMap((s) => this.#groups.map((g) => [s, g] as const));
    const name = (i: number, s: number, g: number) => `sum${i}_${s}_${g}`;
    const { text: loop, nameOf } = this.#clusters([{ members: inner, stores: [] }], { row: "row", tag: "" });
    const add = operands.flatMap((operand, i) => all.map(([s, g]) => `${name(i, s, g)} += ${nameOf(operand, s, g)};`));
    const { text: after } = this.#clusters([cluster], {
      row: "0u",
      tag: "",
      sums: (value, s, g) => (sums.includes(value) ? name(sums.indexOf(value), s, g) : undefined),
    });
    return `{
${sums.flatMap((_, i) => all.map(([s, g]) => `var ${name(i, s, g)} = ${this.#v}(0.0);`)).join("\n")}
for (var row = 0u; row < ${width}u; row++) {
${loop}
${add.join("\n")}
}
${after}
}`;
  }

  #project({ value, cluster }: Linear): string {
    const step = this.#p.stepOf(value, "project");
    const inputs = this.#p.width(step.of);
    const each = <T>(make: (s: number, g: number) => T) =>
      this.#sets(step.batched).flatMap((s) => this.#groups.map((g) => make(s, g)));
    const named =
      (s: number, g: number): ProjectedName =>
      (part, j) =>
        `${part}${s}_${g}_${j}`;
    const text = each((s, g) =>
      lines(inputs, (j) => projectedInput(this.#read(step.of, `${j}u`, s, g), j, step.turns, this.#v, named(s, g))),
    );
    const rows = step.matrix.map((row, k) => {
      const own = each((s, g) => `let z_${s}_${g} = ${projectedRow(row, step.turns, this.#v, named(s, g))};`);
      const sums = (other: Value, s: number, g: number) => (other === value ? `z_${s}_${g}` : undefined);
      return `{\n${own.join("\n")}\n${this.#clusters([cluster], { row: `${k}u`, tag: "", sums }).text}\n}`;
    });
    return `{\n${text.join("\n")}\n${rows.join("\n")}\n}`;
  }
}
