import { must } from "../src/must.ts";
import { Bindings } from "./bindings.ts";
import { type DivergenceText, type FusedField, fieldDeclarations, timeFeatures } from "./field.ts";
import { type IntegrateShape, labelOf, paramsText } from "./integrate.ts";
import { type Kernel, oncePerShape } from "./kernel.ts";
import { movingInputs, type NarrowMlp, packedSizes } from "./narrow-mlp.ts";
import { stageStruct } from "./stage-row.ts";
import { components, type Tiling } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Sizes of a tiled integrator, in vectors of four particles (quads) and invocations. */
function tileSizes(mlp: NarrowMlp, tiling: Tiling) {
  const quads = must(tiling.tile, "the tile of a tiled integrator") / 4;
  const columns = quads / tiling.groups;
  const blocks = mlp.width / tiling.outputs;
  // a job is one dimension of the state of one quad
  return { quads, columns, blocks, jobs: Math.ceil((mlp.dim * quads) / (columns * blocks)) };
}

/** Invocations and bytes of workgroup memory of a tiled integrator; `sets` counts the value and its tangents. */
export function tileDemand(
  mlp: NarrowMlp,
  tile: { readonly tile: number; readonly groups: number },
  sets: number,
): { invocations: number; bytes: number } {
  const quads = tile.tile / 4;
  return {
    invocations: (quads / tile.groups) * (mlp.width / 4),
    bytes: 16 * quads * (sets * mlp.width + mlp.dim + (sets - 1) * mlp.dim),
  };
}

/** Whether the tiled integrator has a text for this field and divergence. */
export function canTile(field: FusedField, divergence: DivergenceText): boolean {
  return field.kind === "mlp" && !field.conditioned && divergence.mode !== "own";
}

/**
 * The integrator of integrate.ts with the activations of `tile` particles in workgroup memory, [set][unit][quad] in place:
 * every invocation computes `groups` quads × 4 outputs of a layer, so that two reads of four activations and one of four
 * weights feed 32 multiply-adds. The state stays in registers of the invocations that own its (dimension, quad) pairs.
 * Same buffers, same order of sums as integrate.ts.
 */
export const integrateTileKernel = oncePerShape((shape: IntegrateShape): Kernel => {
  const { field, tiling, stages, divergence } = shape;
  if (!(field.kind === "mlp" && canTile(field, divergence) && tiling.lanes === 4 && tiling.outputs === 4))
    throw new Error("a tile takes an unconditional mlp, four particles a vector and four outputs at a time");
  const { dim, width, layers } = field;
  const { quads, columns, blocks, jobs } = tileSizes(field, tiling);
  const { block, firstBlock } = packedSizes(field, 4);
  const tracks = divergence.mode !== "none";
  const perPass = divergence.mode === "exact" || divergence.mode === "probes" ? divergence.perPass : 0;
  const basis = divergence.mode === "exact" && perPass >= dim;
  const productRows = basis ? dim : perPass * dim;
  const time = movingInputs(field) - dim;

  const bindings = new Bindings();
  bindings.add("params", "pf_params", "PfParams");
  const declarations = fieldDeclarations(field, tiling, bindings);
  bindings.add("read", "pf_schedule", "array<PfStage>");
  bindings.add("write", "pf_state", "array<vec4f>");
  if (tracks) bindings.add("write", "pf_integral", "array<vec4f>");
  if (divergence.mode === "probes") bindings.add("read", "pf_probes", "array<vec4f>");

  const each = (text: (m: number) => string) => lines(jobs, text);
  const groups = Array.from({ length: tiling.groups }, (_, g) => g);
  /** Jobs that some invocations do not have are guarded; none of them holds a barrier. */
  const uneven = jobs * columns * blocks !== dim * quads;
  const guarded = (m: number, text: string) => (uneven ? `if (has${m}) {\n${text}\n}` : text);

  /** The tangents of a pass at quad q, dimension i. */
  const tangent = (s: number, i: number, at: string) =>
    divergence.mode === "probes"
      ? `pf_probes[((pass_index * ${perPass}u + ${s - 1}u) * ${dim}u + ${i}u) * pf_params.stride + ${at}]`
      : `vec4f(select(0.0, 1.0, pass_index * ${perPass}u + ${s - 1}u == ${i}u))`;

  const accumulate = (s: number, g: number, r: number, input: string, weight: string) =>
    `a${s}_${g}_${r} = fma(${input}, vec4f(${weight}), a${s}_${g}_${r});`;

  function firstLayer(sets: readonly number[]): string {
    const scalar = (i: number, r: number) => `f${i}.${components[r]}`;
    const text = [lines(firstBlock, (i) => `let f${i} = pf_weights.first[jb][${i}];`)];
    for (const g of groups) {
      text.push(lines(dim, (i) => `let y${g}_${i} = pf_y[${i}][q${g}];`));
      const given = basis ? [] : sets.slice(1);
      for (const s of given) text.push(lines(dim, (i) => `let v${s}_${g}_${i} = ${tangent(s, i, `at${g}`)};`));
      for (let r = 0; r < 4; r++) {
        text.push(`var a0_${g}_${r} = vec4f(${scalar(0, r)});`);
        for (let i = 0; i < dim; i++) text.push(accumulate(0, g, r, `y${g}_${i}`, scalar(1 + i, r)));
        for (let f = 0; f < time; f++) text.push(accumulate(0, g, r, `tau0_${f}`, scalar(1 + dim + f, r)));
        for (const s of sets.slice(1)) {
          if (basis) {
            text.push(`let a${s}_${g}_${r} = vec4f(${scalar(s, r)});`);
            continue;
          }
          text.push(`var a${s}_${g}_${r} = v${s}_${g}_0 * vec4f(${scalar(1, r)});`);
          for (let i = 1; i < dim; i++) text.push(accumulate(s, g, r, `v${s}_${g}_${i}`, scalar(1 + i, r)));
        }
      }
    }
    return text.join("\n");
  }

  function hiddenBlock(sets: readonly number[]): string {
    const text = [`let bias = pf_weights.hidden[b][${block - 1}];`];
    for (const s of sets)
      for (const g of groups)
        for (let r = 0; r < 4; r++)
          text.push(`var a${s}_${g}_${r} = vec4f(${s === 0 ? `bias.${components[r]}` : "0.0"});`);
    for (let k = 0; k < width; k++) {
      text.push(`let w${k} = pf_weights.hidden[b][${k}];`);
      for (const s of sets) {
        for (const g of groups) {
          text.push(`let h${s}_${g}_${k} = pf_h[${s * width + k}][q${g}];`);
          for (let r = 0; r < 4; r++) text.push(accumulate(s, g, r, `h${s}_${g}_${k}`, `w${k}.${components[r]}`));
        }
      }
    }
    return text.join("\n");
  }

  /** Tangents are scaled by the slope of the value's activation. */
  const store = (sets: readonly number[]) =>
    groups
      .flatMap((g) =>
        [0, 1, 2, 3].flatMap((r) => {
          const place = (s: number) => `pf_h[${s * width}u + jb * 4u + ${r}u][q${g}]`;
          if (sets.length === 1) return [`${place(0)} = activate(a0_${g}_${r});`];
          return [
            `let n${g}_${r} = activate_with_slope(a0_${g}_${r});`,
            ...sets.map((s) => `${place(s)} = ${s === 0 ? `n${g}_${r}.value` : `n${g}_${r}.slope * a${s}_${g}_${r}`};`),
          ];
        }),
      )
      .join("\n");

  /** Output i of set s for a job's quad, summed over the last hidden layer. */
  const output = (m: number, s: string, start: string, name: string) => `var ${name} = ${start};
for (var k = 0u; k < ${width}u; k++) {
${name} = fma(pf_h[(${s}) * ${width}u + k][jq${m}], vec4f(pf_weights.last[ji${m} / 4u][k][ji${m} % 4u]), ${name});
}`;

  /** Evaluates the field (and the tangents of a pass) at pf_y: u{m} of every job, products of the tangents into pf_product. */
  function evaluate(tangents: number): string {
    const sets = Array.from({ length: 1 + tangents }, (_, s) => s);
    const products = (m: number) => {
      if (tangents === 0) return "";
      if (basis) return `${output(m, `ji${m} + 1u`, "vec4f(0.0)", "product")}\npf_product[ji${m}][jq${m}] = product;`;
      return lines(
        tangents,
        (s) => `{
${output(m, `${s + 1}u`, "vec4f(0.0)", "product")}
pf_product[${s * dim}u + ji${m}][jq${m}] = product;
}`,
      );
    };
    return `{
${firstLayer(sets)}
${store(sets)}
}
workgroupBarrier();
${
  layers > 1
    ? `for (var layer = 0u; layer < ${layers - 1}u; layer++) {
let b = layer * ${blocks}u + jb;
${hiddenBlock(sets)}
workgroupBarrier();
${store(sets)}
workgroupBarrier();
}`
    : ""
}
${each((m) =>
  guarded(
    m,
    `{
${output(m, "0u", `vec4f(pf_weights.last[ji${m} / 4u][${block - 1}][ji${m} % 4u])`, "value")}
u${m} = value;
${products(m)}
}`,
  ),
)}
${tangents > 0 ? "workgroupBarrier();" : ""}`;
  }

  /** What the owner of a quad makes of the products: the trace, or each probe's estimate ZᵀJZ. */
  function trackText(): string {
    if (basis) {
      const sum = Array.from({ length: dim }, (_, i) => `pf_product[${i}][pf_local]`).join(" + ");
      return `${evaluate(perPass)}
if (pf_local < ${quads}u) { integral = fma(vec4f(-row.weight), ${sum}, integral); }`;
    }
    const dot = (s: number) => {
      const factor = (i: number) => `${tangent(s, i, "jat0")}, pf_product[${(s - 1) * dim + i}][pf_local]`;
      let sum = `${factor(0).replace(", pf_product", " * pf_product")}`;
      for (let i = 1; i < dim; i++) sum = `fma(${factor(i)}, ${sum})`;
      return sum;
    };
    if (divergence.mode === "probes") {
      return `for (var pass_index = 0u; pass_index < pf_params.probes / ${perPass}u; pass_index++) {
${evaluate(perPass)}
if (pf_local < ${quads}u && own0) {
${lines(perPass, (s) => {
  const place = `pf_integral[(pass_index * ${perPass}u + ${s}u) * pf_params.stride + jat0]`;
  return `${place} = fma(vec4f(-row.weight), ${dot(s + 1)}, ${place});`;
})}
}
}`;
    }
    return `var divergence = vec4f(0.0);
for (var pass_index = 0u; pass_index < ${Math.ceil(dim / Math.max(1, perPass))}u; pass_index++) {
${evaluate(perPass)}
if (pf_local < ${quads}u) {
${lines(perPass, (s) => `divergence += ${dot(s + 1)};`)}
}
}
integral = fma(vec4f(-row.weight), divergence, integral);`;
  }

  const keepsIntegral = tracks && divergence.mode !== "probes";
  const track = tracks ? trackText() : "";
  const code = `${paramsText}
${stageStruct(stages)}
${declarations}
${bindings.text}
// activations [set][unit][quad], in place; what the network is evaluated at; products of the tangents
var<workgroup> pf_h: array<array<vec4f, ${quads}>, ${width * (1 + perPass)}>;
var<workgroup> pf_y: array<array<vec4f, ${quads}>, ${dim}>;
${tracks ? `var<workgroup> pf_product: array<array<vec4f, ${quads}>, ${productRows}>;` : ""}

@compute @workgroup_size(${columns * blocks})
fn integrate(
  @builtin(local_invocation_index) pf_local: u32,
  @builtin(workgroup_id) pf_group: vec3u,
  @builtin(num_workgroups) pf_groups: vec3u,
) {
let tile_first = (pf_group.x + pf_group.y * pf_groups.x) * ${quads}u;
let jb = pf_local / ${columns}u;
${lines(tiling.groups, (g) => `let q${g} = pf_local % ${columns}u + ${g * columns}u;`)}
// Surplus quads repeat the last slot and store nothing.
${lines(tiling.groups, (g) => `let at${g} = pf_params.first + min(tile_first + q${g}, pf_params.slots - 1u);`)}
${each(
  (m) => `let job${m} = pf_local + ${m * columns * blocks}u;
let has${m} = job${m} < ${dim * quads}u;
let ji${m} = min(job${m} / ${quads}u, ${dim - 1}u);
let jq${m} = job${m} % ${quads}u;
let own${m} = has${m} && tile_first + jq${m} < pf_params.slots;
let jat${m} = pf_params.first + min(tile_first + jq${m}, pf_params.slots - 1u);
var x${m} = pf_state[ji${m} * pf_params.stride + jat${m}];
var u${m}: vec4f;
${lines(stages - 1, (s) => `var k${s}_${m}: vec4f;`)}`,
)}
${keepsIntegral ? "var integral = pf_integral[jat0];" : ""}
for (var step = pf_params.first_step; step < pf_params.last_step; step++) {
${each((m) => `var d${m} = vec4f(0.0);`)}
for (var stage = 0u; stage < ${stages}u; stage++) {
let row = pf_schedule[step * ${stages}u + stage];
let time0 = vec4f(row.time);
${each((m) => {
  let y = `x${m}`;
  for (let s = 0; s < stages - 1; s++) y = `fma(vec4f(row.a${s}), k${s}_${m}, ${y})`;
  return guarded(m, `pf_y[ji${m}][jq${m}] = ${y};`);
})}
workgroupBarrier();
${timeFeatures(field, { ...tiling, groups: 1 })}
${!tracks ? evaluate(0) : shape.freeStages ? `if (row.weight != 0.0) {\n${track}\n} else {\n${evaluate(0)}\n}` : track}
${each((m) => `d${m} = fma(vec4f(row.weight), u${m}, d${m});`)}
${lines(stages - 1, (s) => `if (stage == ${s}u) {\n${each((m) => `k${s}_${m} = u${m};`)}\n}`)}
}
${each((m) => `x${m} += d${m};`)}
}
${each((m) => `if (own${m}) { pf_state[ji${m} * pf_params.stride + jat${m}] = x${m}; }`)}
${keepsIntegral ? `if (pf_local < ${quads}u && own0) { pf_integral[jat0] = integral; }` : ""}
}
`;
  return {
    label: `integrate ${labelOf(shape)}, tile of ${tiling.tile}`,
    entryPoint: "integrate",
    bindings: bindings.accesses,
    code: wgsl`${code}`,
  };
});
