import { item } from "../src/must.ts";
import type { Program, Value } from "../src/network/program.ts";
import { repeats } from "../src/network/repeats.ts";
import { clustersOf, type RowLoop, rowLoops, type Unit } from "../src/network/row-loops.ts";
import type { Schedule } from "../src/network/stages.ts";
import { describe } from "../src/network/unit-text.ts";
import type { BlockedMatrix } from "./blocked-packing.ts";
import { InvocationValues, type NetworkSizes } from "./invocation-values.ts";
import type { Tangents } from "./narrow-mlp.ts";
import type { Packing } from "./packing.ts";
import { type ProjectedName, projectedInput, projectedRow } from "./row-functions.ts";
import { biasOf, biasPart, broadcastOf, components, splat, type Tiling } from "./tiling.ts";
import { lines, range } from "./wgsl.ts";

/**
 * Writes the stages of a schedule as statements on private arrays: what FusedNetwork.text (fused-network.ts) gives. Compilers take as long
 * as a text is, so what a network does again with other weights, such as its blocks, is a loop, and within it the multiply-adds of
 * products of one shape stand once where the tiling shares them.
 */
export class InvocationNetwork {
  readonly #values: InvocationValues;
  readonly #made: Schedule;
  readonly #p: Program;
  readonly #tiling: Tiling;
  readonly #tangents: Tangents | undefined;
  readonly #dim: number;
  readonly #outputs: number;

  constructor(
    sizes: NetworkSizes,
    packing: Packing<BlockedMatrix>,
    made: Schedule,
    tiling: Tiling,
    tangents: Tangents | undefined,
  ) {
    this.#values = new InvocationValues(sizes, packing, made, tiling, tangents);
    this.#made = made;
    this.#p = made.program;
    this.#tiling = tiling;
    this.#tangents = tangents;
    this.#dim = sizes.dim;
    this.#outputs = tiling.outputs;
  }

  text(): string {
    const dim = this.#dim;
    const parts: string[] = [this.#values.inputs(), this.#values.declare()];
    const units = rowLoops(this.#made);
    const { start, period, turns, strides } = repeats(units.map((unit) => describe(this.#made, unit, this.#values)));
    parts.push(this.#units(units.slice(0, start)));
    if (period > 0) {
      this.#values.strides = strides;
      const turn = this.#units(units.slice(start, start + period));
      this.#values.strides = new Map();
      parts.push(`for (var turn = 0u; turn < ${turns}u; turn++) {\n${turn}\n}`);
    }
    parts.push(this.#units(units.slice(start + turns * period)));
    const each = (text: (g: number) => string) => this.#values.groups.map(text).join("\n");
    parts.push(each((g) => lines(dim, (i) => `u${g}_${i} = u_0_${g}[${i}];`)));
    for (const s of this.#values.sets(true))
      parts.push(
        each((g) =>
          lines(dim, (i) =>
            this.#tangents?.kind === "basis" && i !== s - 1 ? "" : `jv${s}_${g}_${i} = jv_${s}_${g}[${i}];`,
          ),
        ),
      );
    return `{\n${parts.join("\n")}\n}`;
  }

  /** Units in their order; where products are shared, the text of those of one shape stands once. */
  #units(units: readonly Unit[]): string {
    const each = () => units.map((unit) => this.#unit(unit)).join("\n");
    if (!this.#tiling.sharesProducts) return each();
    const shapes = units.map((unit) => this.#shape(unit));
    const [common] = shapes
      .filter((shape) => shape !== undefined)
      .map((shape) => ({
        shape,
        inputs: shape.inputs,
        times: shapes.filter((other) => other?.text === shape.text).length,
      }))
      .filter(({ times }) => times > 1)
      .sort((a, b) => b.inputs * (b.times - 1) - a.inputs * (a.times - 1));
    if (!common) return each();
    const at = shapes.flatMap((shape, i) => (shape?.text === common.shape.text ? [i] : []));
    const variants = at.map((i, k) => ({
      before: k === 0 ? [] : units.slice(item(at, k - 1) + 1, i),
      loop: item(units, i) as RowLoop,
    }));
    const [first, last] = [item(at, 0), item(at, at.length - 1)];
    return [
      ...units.slice(0, first).map((unit) => this.#unit(unit)),
      this.#products(variants),
      ...units.slice(last + 1).map((unit) => this.#unit(unit)),
    ].join("\n");
  }

  /** What products have in common whose text is the same but for where they read and write. */
  #shape(unit: Unit): { text: string; inputs: number } | undefined {
    if (unit.kind !== "loop" || unit.products.length === 0) return undefined;
    const steps = unit.products.map(({ value }) => this.#p.stepOf(value, "linear"));
    const each = steps.map(({ from, to, width, bias, batched }) => [to - from, width, bias !== undefined, batched]);
    const inputs = steps.reduce((sum, { from, to }) => sum + to - from, 0);
    return { text: JSON.stringify(each), inputs };
  }

  #unit(unit: Unit): string {
    switch (unit.kind) {
      case "loop":
        return unit.products.length > 0 ? this.#products([{ before: [], loop: unit }]) : this.#rows(unit);
      case "copy":
        return this.#copy(unit);
      case "project":
        return this.#project(unit);
      default:
        throw new Error(`a fused kernel has no ${unit.kind}`);
    }
  }

  #copy({ from, to, width, batched }: Extract<Unit, { kind: "copy" }>): string {
    const each = this.#values.sets(batched).flatMap((s) =>
      this.#values.groups.map((g) => {
        const value = from === undefined ? `${this.#values.v}(0.0)` : this.#values.read(from, "row", s, g);
        return `${to.buffer}_${s}_${g}[${to.row}u + row] = ${value};`;
      }),
    );
    return `for (var row = 0u; row < ${width}u; row++) {\n${each.join("\n")}\n}`;
  }

  /** The sums of a loop, over all sets and groups. */
  #sumsOf({ rows }: RowLoop): { value: Value; of: Value; s: number; g: number; name: string }[] {
    return rows.flatMap((stage) =>
      (stage.kind === "sums" ? stage.sums : []).flatMap((value) => {
        const { of, batched } = this.#p.stepOf(value, "sum");
        return this.#values
          .sets(batched)
          .flatMap((s) => this.#values.groups.map((g) => ({ value, of, s, g, name: `sum${value}_${s}_${g}` })));
      }),
    );
  }

  /** What a loop does in a row: `made` names what its products have made. */
  #row(loop: RowLoop, row: string, tag: string, made?: (value: Value, s: number, g: number) => string | undefined) {
    const { products, rows } = loop;
    const sums = this.#sumsOf(loop);
    return this.#values.clusters(clustersOf(loop), {
      row,
      tag,
      ...(made && { sums: made }),
      behind: (cluster, nameOf) => {
        const stage = rows[cluster - products.length];
        if (stage?.kind !== "sums") return [];
        const own = sums.filter(({ value }) => stage.sums.includes(value));
        return own.map(({ of, s, g, name }) => `${name} += ${nameOf(of, s, g)};`);
      },
    }).text;
  }

  /** What is made of the sums of a loop. */
  #after(loop: RowLoop): string {
    const sums = this.#sumsOf(loop);
    const nameOf = (value: Value, s: number, g: number) =>
      sums.find((sum) => sum.value === value && sum.s === s && sum.g === g)?.name;
    const clusters = loop.rows.flatMap((stage) => (stage.kind === "sums" ? [stage.cluster] : []));
    return this.#values.clusters(clusters, { row: "0u", tag: "", sums: nameOf }).text;
  }

  #rows(loop: RowLoop): string {
    const { count, rows } = loop;
    const sums = this.#sumsOf(loop).map(({ name }) => `var ${name} = ${this.#values.v}(0.0);`);
    const isUnrolled = count === 1 || (this.#tiling.unrollsSums && rows.some(({ kind }) => kind === "sums"));
    const text = isUnrolled
      ? lines(count, (row) => `{\n${this.#row(loop, `${row}u`, "")}\n}`)
      : `for (var row = 0u; row < ${count}u; row++) {\n${this.#row(loop, "row", "")}\n}`;
    return `{\n${[...sums, text].join("\n")}\n${this.#after(loop)}\n}`;
  }

  /** Products of one shape, one after the other, with what comes before each but the first: they have their multiply-adds in common. */
  #products(variants: readonly { before: readonly Unit[]; loop: RowLoop }[]): string {
    const outputs = this.#outputs;
    const { products: own } = item(variants, 0).loop;
    const steps = own.map(({ value }) => this.#p.stepOf(value, "linear"));
    // joined products have the same weights
    const [first] = steps as [(typeof steps)[0]];
    const { from, to, width } = first;
    const { block } = this.#values.matrix(first);
    const isMany = variants.length > 1;
    /** The text of the variant whose turn it is. */
    const choice = (text: (variant: (typeof variants)[0]) => string) => {
      const texts = variants.map(text);
      if (new Set(texts).size === 1) return item(texts, 0);
      return texts
        .map((own, i) => (i === texts.length - 1 ? `{\n${own}\n}` : `if (part == ${i}u) {\n${own}\n} else `))
        .join("");
    };
    const each = <T>(make: (q: number, s: number, g: number) => T): T[] =>
      steps.flatMap((step, q) =>
        this.#values.sets(step.batched).flatMap((s) => this.#values.groups.map((g) => make(q, s, g))),
      );
    const sums = variants.flatMap(({ loop }) => this.#sumsOf(loop));
    const inputs = choice(({ loop }) =>
      each((q, s, g) => {
        const { of } = this.#p.stepOf(item(loop.products, q).value, "linear");
        return lines(
          to - from,
          (k) => `${isMany ? "" : "let "}h${q}_${s}_${g}_${k} = ${this.#values.read(of, `${k}u`, s, g)};`,
        );
      }).join("\n"),
    );
    const text = [
      ...sums.map(({ name }) => `var ${name} = ${this.#values.v}(0.0);`),
      ...(isMany ? each((q, s, g) => lines(to - from, (k) => `var h${q}_${s}_${g}_${k}: ${this.#values.v};`)) : []),
      inputs,
      ...(isMany
        ? ["var base: u32;", choice(({ loop }) => `base = ${this.#values.matrixAt(item(loop.products, 0).value)};`)]
        : []),
    ];
    const blocks = Math.ceil(width / outputs);
    const isSingle = blocks === 1;
    const wanted = (r: number) => !isSingle || r < width;
    const base = `pf_weights[${isMany ? "base" : this.#values.matrixAt(item(own, 0).value)} + jb * ${block}u + `;
    const body: string[] = [];
    for (const [q, step] of steps.entries()) {
      if (step.bias !== undefined) body.push(`let bias${q} = ${base}${block - 1}u]${biasPart(this.#tiling)};`);
      for (const s of this.#values.sets(step.batched))
        for (const g of this.#values.groups)
          for (const r of range(outputs).filter(wanted)) {
            const start =
              step.bias === undefined
                ? `${this.#values.v}(0.0)`
                : splat(this.#tiling, biasOf(this.#tiling, `bias${q}`, r));
            body.push(`var a${q}_${s}_${g}_${r} = ${start};`);
          }
    }
    const { gather } = this.#tiling;
    for (const n of range(block - 1)) {
      if (gather > 0) {
        // lanes of a subgroup fetch weights for each other; what one of them fetches beyond the block is not used
        const lane = n % gather;
        if (lane === 0) body.push(`let c${n} = ${base}${n}u + pf_lane];`);
        body.push(`let w${n} = ${broadcastOf(gather)}(c${n - lane}, ${lane}u);`);
      } else body.push(`let w${n} = ${base}${n}u];`);
      for (const part of range(4)) {
        const k = Math.floor((4 * n + part) / outputs);
        const r = (4 * n + part) % outputs;
        if (k >= to - from || !wanted(r)) continue;
        const weight = splat(this.#tiling, `w${n}.${components[part]}`);
        body.push(
          ...each((q, s, g) => `a${q}_${s}_${g}_${r} = fma(h${q}_${s}_${g}_${k}, ${weight}, a${q}_${s}_${g}_${r});`),
        );
      }
    }
    const rows = choice(({ loop }) =>
      range(outputs)
        .filter(wanted)
        .map((r) => {
          const row = `jb * ${outputs}u + ${r}u`;
          const made = (value: Value, s: number, g: number) => {
            const q = loop.products.findIndex((product) => product.value === value);
            return q < 0 ? undefined : `a${q}_${s}_${g}_${r}`;
          };
          const own = this.#row(loop, row, `_${r}`, made);
          return width % outputs === 0 || isSingle ? own : `if (${row} < ${width}u) {\n${own}\n}`;
        })
        .join("\n"),
    );
    body.push(rows);
    text.push(
      isSingle
        ? `{\nconst jb = 0u;\n${body.join("\n")}\n}`
        : `for (var jb = 0u; jb < ${blocks}u; jb++) {\n${body.join("\n")}\n}`,
      choice(({ loop }) => this.#after(loop)),
    );
    if (!isMany) return `{\n${text.join("\n")}\n}`;
    const before = choice((variant) => variant.before.map((unit) => this.#unit(unit)).join("\n"));
    return `for (var part = 0u; part < ${variants.length}u; part++) {\n${before}\n${text.join("\n")}\n}`;
  }

  #project({ value, cluster }: Extract<Unit, { kind: "project" }>): string {
    const step = this.#p.stepOf(value, "project");
    const inputs = this.#p.width(step.of);
    const each = <T>(make: (s: number, g: number) => T) =>
      this.#values.sets(step.batched).flatMap((s) => this.#values.groups.map((g) => make(s, g)));
    const named =
      (s: number, g: number): ProjectedName =>
      (part, j) =>
        `${part}${s}_${g}_${j}`;
    const text = each((s, g) =>
      lines(inputs, (j) =>
        projectedInput(this.#values.read(step.of, `${j}u`, s, g), j, step.turns, this.#values.v, named(s, g)),
      ),
    );
    const rows = step.matrix.map((row, k) => {
      const own = each((s, g) => `let z_${s}_${g} = ${projectedRow(row, step.turns, this.#values.v, named(s, g))};`);
      const sums = (other: Value, s: number, g: number) => (other === value ? `z_${s}_${g}` : undefined);
      return `{\n${own.join("\n")}\n${this.#values.clusters([cluster], { row: `${k}u`, tag: "", sums }).text}\n}`;
    });
    return `{\n${text.join("\n")}\n${rows.join("\n")}\n}`;
  }
}
