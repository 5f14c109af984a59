import { item, must } from "../src/must.ts";
import { argumentsOf, type Program, type Value } from "../src/network/program.ts";
import { type Cluster, grouped, type Place, placeOf, type Schedule, type Stage } from "../src/network/stages.ts";
import { givenContext } from "./classes.ts";
import { clusterStatements, type Naming } from "./cluster.ts";
import type { FusedNetwork } from "./fused-network.ts";
import { packedFor } from "./packing.ts";
import { type ProjectedName, projectedInput, projectedRow } from "./row-functions.ts";
import { isByMatrices, matrixProduct, matrixSize, sumText } from "./tile-matrices.ts";
import { fixed, moving, overlap, type Row, rowText, type TileMemory, type TileTangents } from "./tile-memory.ts";
import type { TileMatrix, TilePacking } from "./tile-packing.ts";
import { activationType, components, splat, type Tiling, tileSizes, vectorType } from "./tiling.ts";
import { lines, range } from "./wgsl.ts";

type Linear = Extract<Stage, { kind: "linear" | "project" }>;

/** Sums of an invocation at most that are made in two parts: more of them wait for nothing anyway. */
const mostApart = 16;

/** Blocks that have a part of a sum, where `apart`: of more of them the parts are as long a sum as their rows. */
const mostParts = 8;

/** Writes the stages of a schedule for a tile: of an evaluation (tile-network.ts), or forward and reverse (tile-reverse.ts). */
export class Emitter {
  readonly #network: Pick<FusedNetwork, "classes">;
  readonly #made: Schedule;
  readonly #p: Program;
  readonly #tiling: Tiling;
  readonly #tangents: TileTangents | undefined;
  readonly #packing: TilePacking;
  readonly #memory: TileMemory;
  readonly #v: string;
  readonly #blocks: number;
  /** Blocks that have a part of the sums over all rows. */
  readonly #parts: number;
  readonly #unroll: number;
  readonly #apart: boolean;

  /**
   * `apart`: sums over even inputs and odd ones are apart until a loop ends, so that more of them wait for nothing, which is what RDNA 3
   * asks of two multiply-adds that it issues at once.
   */
  constructor(
    network: Pick<FusedNetwork, "classes">,
    made: Schedule,
    tiling: Tiling,
    tangents: TileTangents | undefined,
    packing: TilePacking,
    memory: TileMemory,
    { apart = false }: { readonly apart?: boolean } = {},
  ) {
    this.#network = network;
    this.#apart = apart;
    this.#made = made;
    this.#p = made.program;
    this.#tiling = tiling;
    this.#tangents = tangents;
    this.#packing = packing;
    this.#v = vectorType(tiling);
    const { blocks, unroll } = tileSizes(tiling);
    this.#blocks = blocks;
    this.#parts = apart ? Math.min(blocks, mostParts) : blocks;
    this.#unroll = unroll;
    this.#memory = memory;
    this.#memory.placeParts((group) => this.#partialSums(group), this.#parts);
  }

  /** Rows of the tile's memory in f32, and of activations in f16. */
  get rows(): number {
    return this.#memory.rows;
  }

  get halfRows(): number {
    return this.#memory.halfRows;
  }

  /** The most sums that a stage has of the subgroups' matrices. */
  get sumRows(): number {
    const groups = grouped(this.#made).filter(([stage]) => stage?.kind === "linear");
    return Math.max(
      0,
      ...groups.map((group) => this.#matrixSums(group as Linear[]).length * this.#blocks * matrixSize),
    );
  }

  /** Whether some products go by the subgroups' matrices, and none of the others is packed for them. */
  get suitsMatrices(): boolean {
    const groups = grouped(this.#made).filter(([stage]) => stage?.kind === "linear") as Linear[][];
    const others = groups.filter((own) => this.#matrixSums(own).length === 0);
    const isPacked = ({ inputs, width }: TileMatrix) => isByMatrices(this.#tiling, inputs, width);
    return others.length < groups.length && !others.some(([stage]) => isPacked(this.#matrix(stage as Linear)));
  }

  /** The products of a stage, set by set, where the subgroups' matrices make them. */
  #matrixSums(stages: readonly Linear[]): { value: Value; s: number; place: Place }[] {
    const found = stages.flatMap(({ value }) => {
      const step = this.#p.stepOf(value, "linear");
      const place = this.#halfPlace(step.of);
      if (!place || !isByMatrices(this.#tiling, step.to - step.from, step.width)) return [];
      return this.#memory.sets(step.batched).map((s) => ({ value, s, place }));
    });
    return stages.every(({ value }) => found.some((sum) => sum.value === value)) ? found : [];
  }

  /** A number of the weights in f32. */
  #weight(text: string): string {
    return this.#tiling.half ? `f32(${text})` : text;
  }

  /** Sums that the blocks of a stage each have a part of. */
  #partialSums(group: readonly Stage[]): number {
    const [first] = group;
    if (first?.kind === "sums")
      return first.sums.length * this.#memory.sets(this.#p.at(item(first.sums, 0)).batched).length;
    if (first?.kind !== "linear" || this.#matrix(first).rows > 0) return 0;
    return group.flatMap((stage) => this.#sums(stage as Linear)).length;
  }

  #read(value: Value, row: Row, s: number): string {
    const step = this.#p.at(value);
    const splatted = (text: string) => splat(this.#tiling, text);
    if (step.kind === "parameter") {
      const vector = this.#packing.vectors.get(step.tensor);
      return splatted(this.#weight(`pf_weights.${vector?.member}[${rowText(row)}]`));
    }
    if (this.#memory.isUnit(value)) {
      if (row.of === undefined) return `${this.#v}(${row.plus === s - 1 ? "1.0" : "0.0"})`;
      return `select(${this.#v}(0.0), ${this.#v}(1.0), ${rowText(row)} == ${s - 1}u)`;
    }
    const place = placeOf(this.#made, value);
    const shifted = { ...row, plus: row.plus + place.row };
    switch (place.buffer) {
      case "t":
        return "time0";
      case "label":
        return `select(${this.#v}(0.0), ${this.#v}(1.0), class_0 == ${this.#tiling.lanes === 1 ? rowText(shifted) : `vec${this.#tiling.lanes}u(${rowText(shifted)})`})`;
      case "context":
        return givenContext(
          `pf_context[(${rowText(shifted)}) * pf_params.stride + at0]`,
          this.#v,
          this.#network.classes,
        );
      case "table": {
        if (this.#network.classes === 0) return splatted(`pf_table[pf_column + ${rowText(shifted)}]`);
        const column = (class_: string) => `pf_table[pf_column + ${class_} * ${place.rows}u + ${rowText(shifted)}]`;
        if (this.#tiling.lanes === 1) return column("class_0");
        const lanes = components.slice(0, this.#tiling.lanes);
        return `${this.#v}(${lanes.map((c) => column(`class_0.${c}`)).join(", ")})`;
      }
      default:
        return this.#memory.read({ ...place, row: 0 }, shifted, step.batched ? s : 0);
    }
  }

  #naming(only?: number): Naming<Row> {
    return {
      first: fixed(0),
      groups: [0],
      sets: (batched) => (batched && only !== undefined ? [only] : this.#memory.sets(batched)),
      read: (value, row, s) => this.#read(value, row, s),
      write: (place, row, s, _g, value) => this.#memory.write(place, row, s, value),
    };
  }

  text(): string {
    return grouped(this.#made)
      .map((group) => this.group(group))
      .join("\n");
  }

  /** One stage, or two that join, and the barrier behind them. */
  group(group: readonly Stage[]): string {
    const [stage] = group as [Stage];
    const own = stage.kind === "linear" ? this.#linear(group as Linear[]) : this.#other(stage);
    return `{\n${own}\n}\nworkgroupBarrier();`;
  }

  #matrix({ value }: Linear): TileMatrix {
    const step = this.#p.stepOf(value, "linear");
    return must(packedFor(this.#packing.matrices, step), `the packing of "${step.tensor}"`);
  }

  /** Whether of tangent s only output s − 1 is wanted: the trace of the unit vectors' products. */
  #isTrace({ value, cluster }: Linear): boolean {
    return (
      this.#tangents?.kind === "basis" &&
      this.#p.at(value).batched &&
      cluster.stores.every((store) => placeOf(this.#made, store).buffer === "jv")
    );
  }

  /** The sums of a narrow product: every output of every set, or the trace. */
  #sums(stage: Linear): { value: Value; s: number; i: number }[] {
    const { batched, width } = this.#p.at(stage.value);
    const isTrace = this.#isTrace(stage);
    return this.#memory.sets(batched).flatMap((s) =>
      range(width)
        .filter((i) => !isTrace || i === s - 1)
        .map((i) => ({ value: stage.value, s, i })),
    );
  }

  #linear(stages: readonly Linear[]): string {
    const matrix = this.#matrix(stages[0] as Linear);
    return matrix.rows === 0 ? this.#narrow(stages, matrix) : this.#wide(stages, matrix);
  }

  /** Where a value in f16 lies, whose products are summed in f16; undefined for others. */
  #halfPlace(value: Value): Place | undefined {
    const place = this.#made.places.get(value);
    return place && this.#memory.isHalf(place.buffer) ? place : undefined;
  }

  /**
   * Products of input `u` of a turn, by name of their weights; k is the row. Those of inputs in f16 are summed in f16 over a turn
   * (p, which the first one of a turn begins), all others in f32.
   */
  #products(
    stages: readonly Linear[],
    k: Row,
    u: number,
    weights: (r: number) => string,
    outputs: readonly number[],
    isApart: boolean,
  ): string {
    const text: string[] = [];
    const kept = activationType(this.#tiling);
    for (const { value } of stages) {
      const step = this.#p.stepOf(value, "linear");
      const half = this.#halfPlace(step.of);
      for (const s of this.#memory.sets(step.batched)) {
        const full = (r: number) => splat(this.#tiling, this.#weight(weights(r)));
        if (this.#memory.isUnit(step.of)) {
          // W·e: a column
          if (k.of === undefined && k.plus === s - 1)
            text.push(lines(outputs.length, (r) => `a${value}_${s}_${r} = ${full(r)};`));
          continue;
        }
        const h = `h${value}_${s}_${u}`;
        if (half) {
          const row = { ...k, plus: k.plus + half.row };
          text.push(
            `let ${h} = ${this.#memory.placed({ ...half, row: 0 }, row, this.#p.at(step.of).batched ? s : 0)};`,
          );
          for (const r of outputs) {
            const [p, w] = [`p${value}_${s}_${r}`, `${kept}(${weights(r)})`];
            text.push(u === 0 ? `var ${p} = ${h} * ${w};` : `${p} = fma(${h}, ${w}, ${p});`);
          }
          continue;
        }
        text.push(`let ${h} = ${this.#read(step.of, k, s)};`);
        for (const r of outputs) {
          const sum = `${isApart && u % 2 === 1 ? "b" : "a"}${value}_${s}_${r}`;
          text.push(`${sum} = fma(${h}, ${full(r)}, ${sum});`);
        }
      }
    }
    return text.join("\n");
  }

  /** The sums in f16 of a turn go into those in f32. */
  #turnSums(stages: readonly Linear[], outputs: readonly number[]): string {
    return stages
      .filter(({ value }) => this.#halfPlace(this.#p.stepOf(value, "linear").of))
      .flatMap(({ value }) =>
        this.#memory
          .sets(this.#p.at(value).batched)
          .flatMap((s) => outputs.map((r) => `a${value}_${s}_${r} += ${this.#v}(p${value}_${s}_${r});`)),
      )
      .join("\n");
  }

  /** Every invocation has some rows of the product. */
  #wide(stages: readonly Linear[], matrix: TileMatrix): string {
    const { member, biases, inputs, width, rows } = matrix;
    const unroll = this.#unroll;
    const blocks = Math.ceil(width / rows);
    const outputs = range(rows);
    const vectors = Math.ceil(rows / 4);
    const byMatrices = this.#matrixSums(stages);
    const scalar = (name: string) => (r: number) =>
      rows === 1 ? `${name}_0` : `${name}_${Math.floor(r / 4)}.${components[r % 4]}`;
    const sumsOfTurn = this.#turnSums(stages, outputs);
    const turn = (turns: string, count: number, of: (u: number) => Row) => {
      const products = lines(count, (u) => {
        if (isByMatrices(this.#tiling, inputs, width))
          throw new Error(`"${matrix.tensor}" is packed for subgroups' matrices`);
        const inTurn = this.#tiling.half ? `[jz][${u}]` : `[${u}][jz]`;
        const loads = lines(vectors, (c) => `let w${u}_${c} = pf_weights.${member}[${turns}]${inTurn}[${c}];`);
        return `${loads}\n${this.#products(stages, of(u), u, scalar(`w${u}`), outputs, isApart)}`;
      });
      return sumsOfTurn === "" ? products : `${products}\n${sumsOfTurn}`;
    };
    const sumsOfAll = stages.flatMap(({ value }) =>
      this.#memory.sets(this.#p.at(value).batched).flatMap((s) => outputs.map((r) => `${value}_${s}_${r}`)),
    );
    // a product with unit vectors is a column: it is written out
    const isShort =
      inputs <= (this.#tiling.half ? 1 : 2) * unroll ||
      stages.some(({ value }) => this.#memory.isUnit(this.#p.stepOf(value, "linear").of));
    const whole = isShort ? 0 : Math.floor(inputs / unroll);
    const isApart = this.#apart && !isShort && sumsOfAll.length <= mostApart;
    // both parts of a sum lie in neighbouring registers then
    const start = sumsOfAll.flatMap((sum) =>
      [`a${sum}`, ...(isApart ? [`b${sum}`] : [])].map((name) => `var ${name} = ${this.#v}(0.0);`),
    );
    const body: string[] = [];
    for (const { value } of stages) {
      const { bias } = this.#p.stepOf(value, "linear");
      if (bias === undefined) continue;
      body.push(
        lines(vectors, (c) => `let bias${value}_${c} = pf_weights.${biases}[jz][${c}];`),
        lines(rows, (r) => `a${value}_0_${r} = ${splat(this.#tiling, this.#weight(scalar(`bias${value}`)(r)))};`),
      );
    }
    const ofMatrices = byMatrices.map(({ value, s, place }, i) => {
      const from = this.#memory.place(place, this.#p.at(this.#p.stepOf(value, "linear").of).batched ? s : 0);
      return matrixProduct(this.#tiling, matrix, this.#memory.particleStride, from, i * width);
    });
    if (byMatrices.length > 0) {
      body.unshift(...ofMatrices, "workgroupBarrier();");
      for (const [i, { value, s }] of byMatrices.entries())
        for (const r of outputs)
          body.push(`a${value}_${s}_${r} += ${sumText(this.#tiling, rowText(moving("jb", rows, r + i * width)))};`);
    }
    // the bound is a number that no compiler knows, so that none unrolls the loop
    else if (whole > 0)
      body.push(`for (var k = 0u; k < ${whole}u + pf_params.zero; k++) {
${turn("k", unroll, (u) => moving("k", unroll, u))}
}`);
    for (let k = whole * unroll; byMatrices.length === 0 && k < inputs; k += unroll)
      body.push(`{\n${turn(`${k / unroll}u`, Math.min(unroll, inputs - k), (u) => fixed(k + u))}\n}`);
    if (isApart) body.push(...sumsOfAll.map((sum) => `a${sum} += b${sum};`));
    const some = blocks < this.#blocks;
    const guarded = (text: string) => (some ? `if (jb < ${blocks}u) {\n${text}\n}` : text);
    const sums = (r: number) => (value: Value, s: number) =>
      stages.some((stage) => stage.value === value) ? `a${value}_${s}_${r}` : undefined;
    const clusters = stages.map(({ cluster }) => cluster);
    const finish = outputs.map((r) => {
      const row = moving("jb", rows, r);
      const { text } = clusterStatements(this.#made, clusters, this.#naming(), { row, tag: `_${r}`, sums: sums(r) });
      return width % rows === 0 ? text : `if (${rowText(row)} < ${width}u) {\n${text}\n}`;
    });
    return `${start.join("\n")}
${guarded(body.join("\n"))}
${this.#barrierFor(stages)}
${guarded(finish.join("\n"))}`;
  }

  /** A barrier where stages write what others may not have read yet. */
  #barrierFor(stages: readonly Linear[]): string {
    const reads = this.#memory.spans(stages.flatMap(({ value }) => argumentsOf(this.#p.at(value))));
    const writes = this.#memory.spans(stages.flatMap(({ cluster }) => cluster.stores));
    return overlap(reads, writes) ? "workgroupBarrier();" : "";
  }

  /** Every invocation sums some inputs of all rows; then one of them adds the parts of a row. */
  #narrow(stages: readonly Linear[], matrix: TileMatrix): string {
    const { member, biases, inputs, width, bias } = matrix;
    const share = Math.ceil(inputs / this.#parts);
    const outputs = range(width);
    const sums = stages.flatMap((stage) => this.#sums(stage));
    const text: string[] = sums.map(({ value, s, i }) => `var a${value}_${s}_${i} = ${this.#v}(0.0);`);
    const products: string[] = [];
    for (let kk = 0; kk < share; kk++) {
      const row = moving("jb", share, kk);
      const own: string[] = [];
      for (const { value } of stages) {
        const step = this.#p.stepOf(value, "linear");
        for (const s of this.#memory.sets(step.batched)) {
          const wanted = outputs.filter((i) => sums.some((sum) => sum.value === value && sum.s === s && sum.i === i));
          const h = `h${value}_${s}_${kk}`;
          own.push(`let ${h} = ${this.#read(step.of, row, s)};`);
          for (const i of wanted)
            own.push(
              `a${value}_${s}_${i} = fma(${h}, ${splat(this.#tiling, this.#weight(`pf_weights.${member}[${rowText({ ...row, of: "jz" })}][${i}]`))}, a${value}_${s}_${i});`,
            );
        }
      }
      const isWhole = share * this.#parts === inputs;
      products.push(isWhole ? own.join("\n") : `if (${rowText(row)} < ${inputs}u) {\n${own.join("\n")}\n}`);
    }
    text.push(this.#ofParts(products.join("\n")));
    const [stage] = stages as [Linear];
    // the parts may lie where others still read
    text.push("workgroupBarrier();");
    const parts = sums.map(
      ({ value, s, i }, n) => `${this.#memory.part(stage, n, moving("jb"))} = a${value}_${s}_${i};`,
    );
    text.push(this.#ofParts(parts.join("\n")), "workgroupBarrier();");
    const total = (n: number) => {
      const parts = range(this.#parts).map((block) => this.#memory.part(stage, n, fixed(block)));
      // in pairs, so that the additions do not wait for each other
      let terms = parts;
      while (terms.length > 1)
        terms = range(Math.ceil(terms.length / 2)).map((i) =>
          terms[2 * i + 1] === undefined ? (terms[2 * i] as string) : `(${terms[2 * i]} + ${terms[2 * i + 1]})`,
        );
      return terms[0] as string;
    };
    // row i is made by block i; of a trace only the tangent of that row is
    const traces = stages.filter((stage) => this.#isTrace(stage));
    for (const i of outputs) {
      const own: string[] = [];
      for (const [n, sum] of sums.entries()) {
        if (sum.i !== i) continue;
        const isBiased = bias !== undefined && sum.s === 0 && this.#p.stepOf(sum.value, "linear").bias !== undefined;
        const start = isBiased ? `${splat(this.#tiling, this.#weight(`pf_weights.${biases}[${i}]`))} + ` : "";
        own.push(`let z${sum.value}_${sum.s} = ${start}${total(n)};`);
      }
      const clusters = stages.map(({ cluster }) => cluster);
      const naming = this.#naming(traces.length > 0 ? i + 1 : undefined);
      const { text: finish } = clusterStatements(this.#made, clusters, naming, {
        row: fixed(i),
        tag: `_${i}`,
        sums: (value, s) => (stages.some((stage) => stage.value === value) ? `z${value}_${s}` : undefined),
      });
      text.push(`if (jb == ${i}u) {\n${own.join("\n")}\n${finish}\n}`);
    }
    return text.join("\n");
  }

  /** Statements of the blocks that have parts. */
  #ofParts(text: string): string {
    return this.#parts < this.#blocks ? `if (jb < ${this.#parts}u) {\n${text}\n}` : text;
  }

  /** Statements for all rows, spread over the blocks. */
  #spread(width: number, text: (row: Row) => string): string {
    if (width === 1) return `if (jb == 0u) {\n${text(fixed(0))}\n}`;
    return `for (var row = jb; row < ${width}u; row += ${this.#blocks}u) {\n${text(moving("row"))}\n}`;
  }

  #cluster(cluster: Cluster, row: Row): string {
    return clusterStatements(this.#made, [cluster], this.#naming(), { row, tag: "" }).text;
  }

  #other(stage: Stage): string {
    switch (stage.kind) {
      case "rows":
        return this.#spread(stage.width, (row) => this.#cluster(stage.cluster, row));
      case "copy": {
        const { from, to, width, batched } = stage;
        return this.#spread(width, (row) =>
          this.#memory
            .sets(batched)
            .map((s) => {
              const value = from === undefined ? `${this.#v}(0.0)` : this.#read(from, row, s);
              return this.#memory.write(to, row, s, value);
            })
            .join("\n"),
        );
      }
      case "sums":
        return this.#sumsText(stage);
      case "project":
        return this.#project(stage);
      default:
        throw new Error(`a tile has no ${stage.kind}`);
    }
  }

  #sumsText(stage: Extract<Stage, { kind: "sums" }>): string {
    const { sums, inner, cluster } = stage;
    const operands = sums.map((sum) => this.#p.stepOf(sum, "sum").of);
    const { batched, width } = this.#p.at(operands[0] as Value);
    const all = operands.flatMap((operand, i) => this.#memory.sets(batched).map((s) => ({ operand, i, s })));
    const name = (i: number, s: number) => `sum${i}_${s}`;
    const loop = (row: Row) => {
      const { text, nameOf } = clusterStatements(this.#made, [{ members: inner, stores: [] }], this.#naming(), {
        row,
        tag: "",
      });
      return `${text}\n${all.map(({ operand, i, s }) => `${name(i, s)} += ${nameOf(operand, s, 0)};`).join("\n")}`;
    };
    const added = all.map(({ i, s }, n) => {
      const parts = range(this.#parts).map((block) => this.#memory.part(stage, n, fixed(block)));
      return `let all${i}_${s} = ${parts.join(" + ")};`;
    });
    const { text: after } = clusterStatements(this.#made, [cluster], this.#naming(), {
      row: fixed(0),
      tag: "",
      sums: (value, s) => (sums.includes(value) ? `all${sums.indexOf(value)}_${s}` : undefined),
    });
    return `${all.map(({ i, s }) => `var ${name(i, s)} = ${this.#v}(0.0);`).join("\n")}
${this.#ofParts(`for (var row = jb; row < ${width}u; row += ${this.#parts}u) {
${loop(moving("row"))}
}`)}
// the parts may lie where others still read
workgroupBarrier();
${this.#ofParts(all.map(({ i, s }, n) => `${this.#memory.part(stage, n, moving("jb"))} = ${name(i, s)};`).join("\n"))}
workgroupBarrier();
if (jb == 0u) {
${added.join("\n")}
${after}
}`;
  }

  #project(stage: Linear): string {
    const { value, cluster } = stage;
    const step = this.#p.stepOf(value, "project");
    const inputs = this.#p.width(step.of);
    const sets = this.#memory.sets(step.batched);
    const named =
      (s: number): ProjectedName =>
      (part, j) =>
        `${part}${s}_${j}`;
    const given = (s: number, j: number) => this.#read(step.of, fixed(j), s);
    const text = sets.map((s) => lines(inputs, (j) => projectedInput(given(s, j), j, step.turns, this.#v, named(s))));
    const rows = step.matrix.map((row, k) => {
      const own = sets.map((s) => `let z_${s} = ${projectedRow(row, step.turns, this.#v, named(s))};`);
      const { text: finish } = clusterStatements(this.#made, [cluster], this.#naming(), {
        row: fixed(k),
        tag: "",
        sums: (other, s) => (other === value ? `z_${s}` : undefined),
      });
      return `if (jb == ${k % this.#blocks}u) {\n${own.join("\n")}\n${finish}\n}`;
    });
    return `${text.join("\n")}
${this.#barrierFor([stage])}
${rows.join("\n")}`;
  }
}
