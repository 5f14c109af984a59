import type { FusedNetwork } from "./fused-network.ts";
import { read, uniform } from "./interface.ts";
import type { EvaluationText, NarrowTexts, Tangents } from "./narrow-mlp.ts";
import { blocksWindows, type NarrowMlp, windowTypes } from "./narrow-sizes.ts";
import { sinCosTwoPi } from "./random.ts";
import { components, hasColumns, splat, type Tiling, vectorType } from "./tiling.ts";
import { f32, lines } from "./wgsl.ts";

/** A narrow mlp, with what writes it, since other fields do without that. */
export interface MlpField extends NarrowMlp {
  readonly kind: "mlp";
  readonly texts: NarrowTexts;
}

/** A velocity field as a fused kernel sees it. */
export type FusedField =
  | MlpField
  /** Any other small network: with one time for all particles, or with a time of their own. Labels are given, or all are of the null class. */
  | {
      readonly kind: "network";
      readonly dim: number;
      readonly network: FusedNetwork;
      readonly atOneTime: boolean;
      readonly labels: boolean;
      /** Whether two fields are mixed although there are no labels: those with the context and with zeros in its place. */
      readonly guided?: boolean;
    }
  /**
   * The user's WGSL, which defines `velocity(t, x)`. `trace(t, x)` is the function of its divergence, `product(t, x, v)` the one
   * of velocity and J·v or Jᵀ·v: see src/dual/derivatives.ts.
   */
  | {
      readonly kind: "wgsl";
      readonly dim: number;
      readonly code: string;
      readonly trace?: "divergence" | "pf_trace";
      readonly product?: "pf_forward" | "pf_reverse";
    };

/**
 * How the divergence is found: not at all, by `perPass` basis tangents at a time, by `perPass` probes at a time, by the user's function;
 * or, in its place, the log-determinants of the steps, by the texts of step-jacobian.ts.
 */
export type DivergenceText =
  | { readonly mode: "none" }
  | { readonly mode: "exact" | "probes"; readonly perPass: number }
  | { readonly mode: "own" }
  | { readonly mode: "discrete"; readonly perPass: number; readonly texts: JacobianTexts };

/**
 * What an integrator does for the Jacobian of its steps, apart from it because only some calls ask for it: at the places of its text
 * where the names of these stand. `state` declares the matrices, `stage` evaluates the velocity with its tangents.
 */
export type JacobianTexts = (
  field: FusedField,
  tiling: Tiling,
  stages: number,
) => Readonly<Record<"declarations" | "state" | "begin" | "stage" | "end" | "store" | "keep", string>>;

/** Module-scope text of a field. */
export function fieldDeclarations(field: FusedField, tiling: Tiling): string {
  if (field.kind === "wgsl") return `const DIM = ${field.dim};\n${field.code}`;
  if (field.kind === "network") return field.network.declarations(tiling);
  const weights = field.texts.declarations(field, tiling);
  return field.fourier > 0 ? `${sinCosTwoPi}\n${weights}` : weights;
}

/** What a field reads. */
export function fieldBuffers(field: FusedField, tiling: Tiling) {
  const rows = read(`array<${vectorType(tiling)}>`);
  const network = field.kind === "network" && field.network;
  const isArray = network && tiling.tile === undefined;
  const weights = isArray ? `array<vec4f, ${network.packing(tiling.outputs).floats / 4}>` : "PfWeights";
  const windows = tiling.space === "windows" && field.kind === "mlp" && blocksWindows(field, tiling.outputs);
  return {
    weights: field.kind !== "wgsl" && !windows && (tiling.space === "uniform" ? uniform : read)(weights),
    ...(windows && Object.fromEntries(windowTypes(windows).map(([name, type]) => [name, uniform(type)]))),
    offsets: field.kind === "mlp" && field.conditioned && rows,
    labels: field.kind === "network" && field.labels && read("array<u32>"),
    context: network && network.context > 0 && rows,
    table:
      network &&
      hasTable(field) &&
      read(hasColumns(network, tiling) ? `array<array<f32, ${network.table.rows}>>` : "array<f32>"),
  };
}

const hasTable = (field: FusedField) => field.kind === "network" && field.atOneTime && field.network.hasTable;

/** Text that declares pf_column, where the column of the table begins that is `index` stages (text) behind the first, or the first one. */
export function tableColumn(field: FusedField, tiling: Tiling, index?: string): string {
  if (field.kind !== "network") return "";
  const { network } = field;
  if (hasColumns(network, tiling)) return hasTable(field) ? `let pf_column = &pf_table[${index ?? "0u"}];` : "";
  if (index === undefined) return "let pf_column = 0u;";
  return `let pf_column = (${index}) * ${(network.classes + 1) * network.table.rows}u;`;
}

/** Declarations `var name{g}_{i}: V` for every group and dimension. */
export function declare(tiling: Tiling, dim: number, name: string): string {
  return lines(tiling.groups, (g) => lines(dim, (i) => `var ${name}${g}_${i}: ${vectorType(tiling)};`));
}

/** `text(g, i)` for every group and dimension. */
export function forEach(tiling: Tiling, dim: number, text: (g: number, i: number) => string): string {
  return lines(tiling.groups, (g) => lines(dim, (i) => text(g, i)));
}

/** Text that declares tau{g}_{f}, the time inputs, from the particle vectors time{g}. */
export function timeFeatures(field: NarrowMlp, tiling: Tiling): string {
  if (field.fourier === 0) return lines(tiling.groups, (g) => `let tau${g}_0 = time${g};`);
  const v = vectorType(tiling);
  return lines(tiling.groups, (g) =>
    lines(field.fourier, (j) => {
      const name = `s${g}_${j}`;
      const parts = components.slice(0, tiling.lanes);
      const at = (c: string) => (tiling.lanes === 1 ? `time${g}` : `time${g}.${c}`);
      const each = parts.map((c) => `let ${name}${c} = sin_cos_two_pi(${f32(j + 1)} * ${at(c)});`).join(" ");
      return `${each}
let tau${g}_${2 * j} = ${v}(${parts.map((c) => `${name}${c}.x`).join(", ")});
let tau${g}_${2 * j + 1} = ${v}(${parts.map((c) => `${name}${c}.y`).join(", ")});`;
    }),
  );
}

function mlpText(field: MlpField, tiling: Tiling, tangents: Tangents | undefined): EvaluationText {
  const evaluate = field.texts.evaluation(field, tiling, tangents);
  const mixes = field.conditioned;
  const offset = mixes ? `let offset_row = branch * ${field.width}u;\n` : "";
  return { before: timeFeatures(field, tiling), evaluate: `${offset}${evaluate}`, mixes };
}

/**
 * Text that evaluates the field. In: y{g}_{i}, time{g}. Out, declared by the caller: u{g}_{i}.
 * With `tangents`: also v{s}_{g}_{i} in (for `given`), jv{s}_{g}_{i} out.
 */
export function velocityText(field: FusedField, tiling: Tiling, tangents?: Tangents): string {
  if (field.kind === "wgsl") {
    return lines(tiling.groups, (g) => {
      const x = Array.from({ length: field.dim }, (_, i) => `y${g}_${i}`).join(", ");
      if (tangents && field.product) {
        const { product, dim } = field;
        return lines(tangents.count, (s) => {
          const v = Array.from({ length: dim }, (_, i) => `v${s + 1}_${g}_${i}`).join(", ");
          return `{
let pf_made = ${product}(time${g}, array<f32, DIM>(${x}), array<f32, DIM>(${v}));
${lines(dim, (i) => `u${g}_${i} = pf_made.velocity[${i}];\njv${s + 1}_${g}_${i} = pf_made.product[${i}];`)}
}`;
        });
      }
      return `{
let pf_u = velocity(time${g}, array<f32, DIM>(${x}));
${lines(field.dim, (i) => `u${g}_${i} = pf_u[${i}];`)}
}`;
    });
  }
  const { before, evaluate, mixes } =
    field.kind === "mlp" ? mlpText(field, tiling, tangents) : field.network.evaluation(field, tiling, tangents);
  if (!mixes) return `{\n${before}\n${evaluate}\n}`;
  // Guidance: (1 − w) u_null + w u_label. One branch means no mix, so that its bits are those of the plain network.
  const mixed = [
    { name: (g: number, i: number) => `u${g}_${i}`, dims: Array.from({ length: field.dim }, (_, i) => i) },
    ...Array.from({ length: tangents?.count ?? 0 }, (_, s) => ({
      name: (g: number, i: number) => `jv${s + 1}_${g}_${i}`,
      dims: tangents?.kind === "basis" ? [s] : Array.from({ length: field.dim }, (_, i) => i),
    })),
  ];
  const each = (text: (name: string, g: number) => string) =>
    lines(tiling.groups, (g) => mixed.flatMap(({ name, dims }) => dims.map((i) => text(name(g, i), g))).join("\n"));
  const weight = (by: string) => splat(tiling, by);
  return `{
${before}
${each((name) => `var first_${name} = ${name};`)}
${guided({
  evaluate,
  keep: (by) => each((name) => `first_${name} = ${name} * ${weight(by)};`),
  mix: (by) => each((name) => `${name} = fma(${name}, ${weight(by)}, first_${name});`),
})}
}`;
}

/** The loop over the branches of a guided mix: what is kept of the first one, times its weight, and how the second one is added. */
export function guided(o: {
  evaluate: string;
  keep: (weight: string) => string;
  mix: (weight: string) => string;
}): string {
  return `for (var branch = 0u; branch < pf_params.branches; branch++) {
${o.evaluate}
if (pf_params.branches > 1u) {
if (branch == 0u) {
${o.keep("pf_params.weight_null")}
} else {
${o.mix("pf_params.weight_label")}
}
}
}`;
}

/**
 * Text that evaluates the field and its divergence. In: y{g}_{i}, time{g}. Out, declared by the caller: u{g}_{i} and,
 * except for probes, div{g}. For probes `onProbe(g, "probe index", "estimate")` is what happens with each probe's estimate ZᵀJZ.
 * `needed` is text that says whether the divergence is wanted, for tilings with turns; where it is not, div{g} is nothing.
 */
export function velocityAndDivergenceText(
  field: FusedField,
  tiling: Tiling,
  divergence: DivergenceText,
  onProbe: (g: number, probe: string, estimate: string) => string,
  needed?: string,
): string {
  if (divergence.mode === "none") return velocityText(field, tiling);
  if (divergence.mode === "discrete") throw new Error("a step's determinant is no divergence of a stage");
  if (divergence.mode === "own") {
    const trace = field.kind === "wgsl" ? (field.trace ?? "divergence") : "divergence";
    const own = lines(tiling.groups, (g) => {
      const x = Array.from({ length: field.dim }, (_, i) => `y${g}_${i}`).join(", ");
      return `div${g} = ${trace}(time${g}, array<f32, DIM>(${x}));`;
    });
    return `${velocityText(field, tiling)}\n${own}`;
  }
  const v = vectorType(tiling);
  const { perPass } = divergence;
  const passes = Math.ceil(field.dim / perPass);
  const single = divergence.mode === "exact" && passes === 1;
  const tangents: Tangents = { count: perPass, kind: single ? "basis" : "given", needed };
  const wanted = (all: string) => (needed === undefined ? all : `select(1u, ${all}, ${needed})`);
  const eachTangent = (text: (s: number, g: number) => string) =>
    lines(perPass, (s) => lines(tiling.groups, (g) => text(s + 1, g)));
  const dot = (s: number, g: number) => {
    let sum = `v${s}_${g}_0 * jv${s}_${g}_0`;
    for (let i = 1; i < field.dim; i++) sum = `fma(v${s}_${g}_${i}, jv${s}_${g}_${i}, ${sum})`;
    return sum;
  };
  const outputs = eachTangent((s, g) =>
    lines(field.dim, (i) => (single && i !== s - 1 ? "" : `var jv${s}_${g}_${i}: ${v};`)),
  );
  if (single) {
    return `{
${outputs}
${velocityText(field, tiling, tangents)}
${lines(tiling.groups, (g) => `div${g} = ${Array.from({ length: perPass }, (_, s) => `jv${s + 1}_${g}_${s}`).join(" + ")};`)}
}`;
  }
  if (divergence.mode === "exact") {
    return `{
${lines(tiling.groups, (g) => `div${g} = ${v}(0.0);`)}
for (var pass_index = 0u; pass_index < ${wanted(`${passes}u`)}; pass_index++) {
${eachTangent((s, g) => lines(field.dim, (i) => `let v${s}_${g}_${i} = ${v}(select(0.0, 1.0, pass_index * ${perPass}u + ${s - 1}u == ${i}u));`))}
${outputs}
${velocityText(field, tiling, tangents)}
${eachTangent((s, g) => `div${g} += ${dot(s, g)};`)}
}
}`;
  }
  return `for (var pass_index = 0u; pass_index < ${wanted(`pf_params.probes / ${perPass}u`)}; pass_index++) {
${eachTangent((s, g) =>
  lines(
    field.dim,
    (i) =>
      `let v${s}_${g}_${i} = pf_probes[((pass_index * ${perPass}u + ${s - 1}u) * ${field.dim}u + ${i}u) * pf_params.stride + at${g}];`,
  ),
)}
${outputs}
${velocityText(field, tiling, tangents)}
${eachTangent((s, g) => onProbe(g, `(pass_index * ${perPass}u + ${s - 1}u)`, dot(s, g)))}
}`;
}
