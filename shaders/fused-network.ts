import { item, must } from "../src/must.ts";
import { tangentOfX, withTangents } from "../src/network/derivatives.ts";
import type { Network } from "../src/network/network.ts";
import type { Program, RowFunction, Value } from "../src/network/program.ts";
import { schedule } from "../src/network/schedule.ts";
import { type SplitNetwork, splitNetwork, tablePlaces } from "../src/network/split.ts";
import {
  type Cluster,
  grouped,
  type Place,
  placeOf,
  type Schedule,
  type Stage,
  wholeBuffer,
} from "../src/network/stages.ts";
import { classesText, givenContext } from "./classes.ts";
import { clusterStatements, type Naming } from "./cluster.ts";
import type { EvaluationText, Tangents } from "./narrow-mlp.ts";
import { type PackedMatrix, type Packing, packedFor } from "./packing.ts";
import { fractionText, inverseRoot, type ProjectedName, projectedInput, projectedRow, rowFunctions } from "./rows.ts";
import { components, splat, type Tiling, vectorType } from "./tiling.ts";
import { lines } from "./wgsl.ts";

/** A matrix (or some of its columns) in the packing: blocks of outputs, in a block input after input, then the bias. */
interface BlockedMatrix extends PackedMatrix {
  /** First vec4, vec4s of a block, blocks. */
  readonly at: number;
  readonly block: number;
  readonly blocks: number;
}

const keys = new Map<string, string>();

/** A short name for a long text, the same for the same text: kernels are looked up by it at every plan. */
function shortKey(text: string): string {
  const key = keys.get(text) ?? `network ${keys.size}`;
  keys.set(text, key);
  return key;
}

type Linear = Extract<Stage, { kind: "linear" | "project" }>;

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/**
 * Any network as a kernel sees it that evaluates it as a whole. With one time for all particles (`atOneTime`) what depends on time and
 * class alone is read from a table; else everything is computed for each particle.
 */
export class FusedNetwork {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
  /** What is the same for all particles at one time and of one class. */
  readonly table: SplitNetwork["table"];
  /** Tells this network from others, in other processes, too. */
  readonly key: string;
  readonly #shortKey: string;
  readonly #atOneTime: { readonly program: Program; readonly output: Value };
  readonly #anyTime: { readonly program: Program; readonly output: Value };
  readonly #schedules = new Map<string, Schedule>();
  readonly #packings = new Map<number, ReturnType<FusedNetwork["packing"]>>();

  constructor({ dim, classes, context, program, output }: Network) {
    const split = splitNetwork(program, output);
    this.dim = dim;
    this.classes = classes;
    this.context = context;
    this.table = split.table;
    this.#atOneTime = split;
    this.#anyTime = { program, output };
    this.key = JSON.stringify([dim, classes, context, program.steps]);
    this.#shortKey = shortKey(this.key);
  }

  /** The steps at one time for all particles, or at a time of their own. */
  program(atOneTime: boolean): Program {
    return (atOneTime ? this.#atOneTime : this.#anyTime).program;
  }

  /** Whether the program at one time reads a table. */
  get hasTable(): boolean {
    return this.table.rows > 0;
  }

  /** What kernels are cached by. */
  toJSON(): string {
    return this.#shortKey;
  }

  /** Where the parameters are in the packed weights: matrices by their columns, then vectors. */
  packing(outputs: number): Packing<BlockedMatrix> {
    const known = this.#packings.get(outputs);
    if (known) return known;
    const matrices: BlockedMatrix[] = [];
    const vectors = new Map<string, { at: number }>();
    let at = 0;
    for (const atOneTime of [true, false])
      for (const step of this.program(atOneTime).steps) {
        if (step.kind === "parameter" && !vectors.has(step.tensor)) {
          vectors.set(step.tensor, { at: 4 * at });
          at += Math.ceil(step.width / 4);
        }
        if (step.kind !== "linear" || packedFor(matrices, step)) continue;
        const { tensor, from, to, width, bias } = step;
        const inputs = to - from;
        const blocks = Math.ceil(width / outputs);
        const block = Math.ceil((inputs * outputs) / 4) + 1;
        const startOf = (start: number, output: number) => 4 * (start + block * Math.floor(output / outputs));
        const first = at;
        matrices.push({
          ...{ tensor, from, inputs, width, bias, at, block, blocks },
          weightAt: (output, input) => startOf(first, output) + input * outputs + (output % outputs),
          biasAt: (output) => startOf(first, output) + 4 * (block - 1) + (output % outputs),
        });
        at += block * blocks;
      }
    // a subgroup may fetch a few vectors beyond the last one
    const made = { matrices, vectors, floats: 4 * (at + 8) };
    this.#packings.set(outputs, made);
    return made;
  }

  /** The steps of a program in the order of a kernel, with tangents or without. Kernels read all inputs of a product before they write. */
  scheduled(atOneTime: boolean, tangents: boolean): Schedule {
    const key = `${atOneTime} ${tangents}`;
    const known = this.#schedules.get(key);
    if (known) return known;
    const { program, output } = atOneTime ? this.#atOneTime : this.#anyTime;
    const inputs = new Map<string, Place>([
      ["x", wholeBuffer("x", this.dim)],
      [tangentOfX, wholeBuffer("dx", this.dim)],
      ["t", wholeBuffer("t", 1)],
      ["label", wholeBuffer("label", this.classes)],
      ["context", wholeBuffer("context", this.context)],
      ...tablePlaces(this.table, "table"),
    ]);
    const outputs = (value: Value, tangent?: Value) => [
      { value, place: wholeBuffer("u", this.dim) },
      ...(tangent === undefined ? [] : [{ value: tangent, place: wholeBuffer("jv", this.dim) }]),
    ];
    const made = tangents ? withTangents(program, output) : { program, output, tangent: undefined };
    const result = schedule(made.program, {
      inputs,
      outputs: outputs(made.output, made.tangent),
      bindings: Number.POSITIVE_INFINITY,
      prefix: "n",
      joins: true,
      inPlace: true,
    });
    this.#schedules.set(key, result);
    return result;
  }

  /** Module-scope text but for the bindings: functions of rows. */
  declarations(tiling: Tiling): string {
    const v = vectorType(tiling);
    const functions: RowFunction[] = [];
    for (const atOneTime of [true, false])
      for (const step of this.scheduled(atOneTime, true).program.steps)
        if (step.kind === "map") functions.push(step.function);
    const results = functions.map((f) => ({ function: f, of: [], batched: false }));
    return `${rowFunctions([{ results }], v)}
${inverseRoot(v)}
${fractionText(v)}`;
  }

  /** The evaluation of field.ts: as {@link text}, with the classes of the particles. */
  evaluation(
    {
      atOneTime,
      labels,
      guided = false,
    }: { readonly atOneTime: boolean; readonly labels: boolean; readonly guided?: boolean },
    tiling: Tiling,
    tangents: Tangents | undefined,
  ): EvaluationText {
    const text = this.text(tiling, tangents, atOneTime);
    return {
      before: labels || guided ? "" : "const branch = 0u;",
      evaluate: `${classesText(this.classes, labels, tiling)}\n${text}`,
      mixes: labels || guided,
    };
  }

  /**
   * Text that evaluates the network. In: y{g}_{i}, time{g}, v{s}_{g}_{i} (for given tangents); `pf_labels`, `pf_context`, `pf_table`
   * and pf_column, the table's first column of this stage, where there are such. Out, declared by the caller: u{g}_{i}, jv{s}_{g}_{i}.
   */
  text(tiling: Tiling, tangents: Tangents | undefined, atOneTime: boolean): string {
    return new Emitter(this, this.scheduled(atOneTime, tangents !== undefined), tiling, tangents).text();
  }
}

/** Writes the stages of a schedule as statements on private arrays. */
class Emitter {
  readonly #network: FusedNetwork;
  readonly #made: Schedule;
  readonly #p: Program;
  readonly #tiling: Tiling;
  readonly #tangents: Tangents | undefined;
  readonly #v: string;
  readonly #groups: readonly number[];
  readonly #outputs: number;

  constructor(network: FusedNetwork, made: Schedule, tiling: Tiling, tangents: Tangents | undefined) {
    this.#network = network;
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
      const vector = must(
        this.#network.packing(this.#outputs).vectors.get(step.tensor),
        `the packing of "${step.tensor}"`,
      );
      return splat(this.#tiling, `pf_weights[${vector.at / 4}u + (${row}) / 4u][(${row}) % 4u]`);
    }
    const place = placeOf(this.#made, value);
    const at = place.row === 0 ? row : `${place.row}u + ${row}`;
    if (place.buffer !== "table") return `${place.buffer}_${step.batched ? s : 0}_${g}[${at}]`;
    const column = (class_: string) => `pf_table[(${at}) * pf_params.columns + pf_column + ${class_}]`;
    if (this.#network.classes === 0) return splat(this.#tiling, column("0u"));
    if (this.#tiling.lanes === 1) return column(`class_${g}`);
    const lanes = components.slice(0, this.#tiling.lanes);
    return `${this.#v}(${lanes.map((c) => column(`class_${g}.${c}`)).join(", ")})`;
  }

  text(): string {
    const { dim } = this.#network;
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
    const { dim, classes, context } = this.#network;
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
    const { dim } = this.#network;
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
    const matrix = must(packedFor(this.#network.packing(outputs).matrices, first), `the packing of "${first.tensor}"`);
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
