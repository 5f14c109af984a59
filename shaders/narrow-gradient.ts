import { activationText } from "./activation.ts";
import { bentActivationText } from "./curvature.ts";
import { read, uniform, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { components, splat, vectorType } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** An MLP as the gradient kernel sees it: all inputs are rows of a buffer, hidden layers are padded to one width. */
export interface GradientNetwork {
  /** Input rows: x, then time, classes, context. */
  readonly inputs: number;
  readonly dim: number;
  /** Hidden layers, at least 1. */
  readonly layers: number;
  /** A multiple of 16. */
  readonly width: number;
  readonly activation: string;
}

/** How the kernel maps particles and units to invocations; see {@link Tiling} of the integrators. */
export interface GradientTiling {
  readonly lanes: 1 | 4;
  readonly groups: 1 | 2;
  readonly outputs: 2 | 4;
  readonly gather: number;
  readonly space: "uniform" | "storage";
  readonly workgroupSize: number;
}

/**
 * What the kernel does with a batch:
 * - `forward`: the velocity only;
 * - `residual`: flow matching — the cotangent is `scale`·(u − target), and the squares are kept for the loss;
 * - `cotangent`: the gradient of κ·u + Σ_s w_s·(∂u/∂x v_s) with κ given per particle, for the likelihood.
 */
export interface GradientShape {
  readonly network: GradientNetwork;
  readonly tiling: GradientTiling;
  readonly task: "forward" | "residual" | "cotangent";
  /** Tangents v_s that go along: unit vectors from `params.first_tangent` on, or rows of the probes. Not for `residual`. */
  readonly tangents: number;
  /** `matrix`: as `given`, and w_s is given as well, in rows behind κ; else w_s = δ v_s. */
  readonly kind: "basis" | "given" | "matrix";
  /** Whether ½·(energy |u|² + jacobian Σ_s |∂u/∂x v_s|²)·(2/n) joins what the gradient is of; for a `matrix` only the first. Only for `cotangent`. */
  readonly penalised?: true;
  /** Whether each square has a weight, in the row behind the targets. Only for `residual`. */
  readonly weighted?: true;
}

/** Sizes, in vec4s, of the packed weights of both directions; blocks of `outputs` units, padded. */
export function gradientSizes({ inputs, dim, layers, width }: GradientNetwork, outputs: number) {
  const blocks = width / outputs;
  const ends = Math.ceil(dim / outputs);
  const first = Math.ceil(((1 + inputs) * outputs) / 4);
  const inner = (width * outputs) / 4;
  const top = Math.ceil((dim * outputs) / 4);
  return {
    blocks,
    ends,
    first,
    inner,
    top,
    forward: first * blocks + (inner + 1) * (blocks * (layers - 1) + ends),
    reverse: top * blocks + inner * (blocks * (layers - 1) + ends),
  };
}

/**
 * The network forward and in reverse for a batch, activations never leaving the invocation but for the copies that the weight
 * gradients need: h_l = φ(z_l), tangents ḣ_l = φ′ ż_l; in reverse z̄_l = φ′ h̄_l + φ″ Σ_s ż_l ḣ̄_l and ż̄_l = φ′ ḣ̄_l
 * (reverse over forward; Griewank & Walther 2008, ch. 5; the divergence's gradient needs φ″).
 *
 * Buffers, feature-major: weights forward, [weights in reverse], inputs [inputs], then
 * - forward: velocity [dim], behind it ∂u/∂x v_s [tangents][dim], [probes];
 * - residual: activations, cotangents, target [dim], squares [1]; with weights target has a row more, of these;
 * - cotangent: activations, cotangents, κ [dim], xbar [dim], [probes [·][dim]]. For a `matrix` κ has w_s [tangents][dim] behind it, and
 *   xbar what w_s gives, (∂u/∂x)ᵀ w_s [tangents][dim]. With penalties κ has a row more at the end, which they are added to.
 *
 * Written for the weight gradients, rows of (1 + tangents)·stride — the values, then each tangent's: activations
 * [inputs + layers·width], cotangents [layers·width + dim]; row l of one belongs with row l + 1 of the other.
 */
export const narrowGradientKernel = oncePerShape((shape: GradientShape) => {
  const { network, tiling, task, kind } = shape;
  const { inputs, dim, layers, width } = network;
  const { outputs, groups, gather } = tiling;
  const tangents = task === "residual" ? 0 : shape.tangents;
  const isMatrix = kind === "matrix";
  const penalised = shape.penalised === true;
  const reverse = task !== "forward";
  const sizes = gradientSizes(network, outputs);
  const vector = vectorType({ ...tiling, keep: "array" });
  const spread = (scalar: string) => splat({ ...tiling, keep: "array" }, scalar);
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const sets = range(1 + tangents);
  const gs = range(groups);
  const rs = range(outputs);
  const each = (text: (s: number, g: number) => string) => sets.flatMap((s) => gs.map((g) => text(s, g))).join("\n");
  const at = (buffer: string, row: string, s: number, g: number) =>
    `${buffer}[${row} * row_vectors + ${s > 0 ? `${s}u * params.stride + ` : ""}at${g}]`;

  const weights = tiling.space === "uniform" ? uniform : read;
  const rows = `array<${vector}>`;
  const buffers = {
    forward_weights: weights("ForwardWeights"),
    reverse_weights: reverse && weights("ReverseWeights"),
    inputs: read(rows),
    velocity: task === "forward" && write(rows),
    activations: reverse && write(rows),
    cotangents: reverse && write(rows),
    wanted: task === "residual" && read(rows),
    squares: task === "residual" && write(rows),
    kappa: task === "cotangent" && (penalised ? write : read)(rows),
    xbar: task === "cotangent" && write(rows),
    probes: tangents > 0 && kind !== "basis" && read(rows),
  };

  const accumulate = (s: number, g: number, r: number, input: string, weight: string) =>
    `a${s}_${g}_${r} = fma(${input}, ${spread(weight)}, a${s}_${g}_${r});`;

  /** Straight-line sums over the `width` inputs h{s}_{g}_{k} of one block; every weight is read once for all sets and groups. */
  function innerBlock(array: string, index: string, biased: boolean, which: readonly number[]): string {
    const text = biased ? [`let bias = ${array}[${index}][${sizes.inner}];`] : [];
    for (const s of which)
      for (const g of gs)
        for (const r of rs)
          text.push(`var a${s}_${g}_${r} = ${biased && s === 0 ? spread(`bias.${components[r]}`) : `${vector}(0.0)`};`);
    for (const n of range(sizes.inner)) {
      if (gather > 0) {
        const lane = n % gather;
        if (lane === 0) text.push(`let c${n} = ${array}[${index}][${n}u + lane];`);
        text.push(`let w${n} = subgroupBroadcast(c${n - lane}, ${lane}u);`);
      } else text.push(`let w${n} = ${array}[${index}][${n}];`);
      for (const part of range(4)) {
        const k = Math.floor((4 * n + part) / outputs);
        const r = (4 * n + part) % outputs;
        for (const s of which)
          for (const g of gs) text.push(accumulate(s, g, r, `h${s}_${g}_${k}`, `w${n}.${components[part]}`));
      }
    }
    return text.join("\n");
  }

  /** Element [i][r] of a small block that was read into `name`0, `name`1, …. */
  const element = (name: string, i: number, r: number) => {
    const index = i * outputs + r;
    return `${name}${Math.floor(index / 4)}.${components[index % 4]}`;
  };

  const firstBlock = [
    lines(sizes.first, (n) => `let f${n} = forward_weights.first[jb][${n}];`),
    ...gs.flatMap((g) =>
      rs.flatMap((r) => [
        `var a0_${g}_${r} = ${spread(element("f", 0, r))};`,
        ...range(inputs).map((i) => accumulate(0, g, r, `x${g}_${i}`, element("f", 1 + i, r))),
        ...sets
          .slice(1)
          .flatMap((s) => [
            `var a${s}_${g}_${r} = v${s}_${g}_0 * ${spread(element("f", 1, r))};`,
            ...range(dim - 1).map((i) => accumulate(s, g, r, `v${s}_${g}_${i + 1}`, element("f", 2 + i, r))),
          ]),
      ]),
    ),
  ].join("\n");

  const topBlock = [
    lines(sizes.top, (n) => `let f${n} = reverse_weights.top[jb][${n}];`),
    ...sets.flatMap((s) =>
      gs.flatMap((g) =>
        rs.flatMap((r) => [
          `var a${s}_${g}_${r} = q${s}_${g}_0 * ${spread(element("f", 0, r))};`,
          ...range(dim - 1).map((i) => accumulate(s, g, r, `q${s}_${g}_${i + 1}`, element("f", i + 1, r))),
        ]),
      ),
    ),
  ].join("\n");

  /** What is kept of unit `jb`·outputs + r of layer `layer` on the way up. */
  const keepForward = gs
    .flatMap((g) =>
      rs.map((r) => {
        const unit = `(layer * ${width}u + jb * ${outputs}u + ${r}u)`;
        const local = `[jb * ${outputs}u + ${r}u]`;
        if (!reverse && tangents === 0) return `o0_${g}${local} = activate(a0_${g}_${r});`;
        if (!reverse)
          return [
            `let n${g}_${r} = activate_with_slope(a0_${g}_${r});`,
            `o0_${g}${local} = n${g}_${r}.value;`,
            ...sets.slice(1).map((s) => `o${s}_${g}${local} = n${g}_${r}.slope * a${s}_${g}_${r};`),
          ].join("\n");
        const text = [
          `let n${g}_${r} = ${tangents > 0 ? "activate_with_curvature" : "activate_with_slope"}(a0_${g}_${r});`,
          `o0_${g}${local} = n${g}_${r}.value;`,
          `slope_${g}[${unit}] = n${g}_${r}.slope;`,
          ...(tangents > 0 ? [`curvature_${g}[${unit}] = n${g}_${r}.curvature;`] : []),
          ...sets
            .slice(1)
            .flatMap((s) => [
              `raw${s}_${g}[${unit}] = a${s}_${g}_${r};`,
              `let t${s}_${g}_${r} = n${g}_${r}.slope * a${s}_${g}_${r};`,
              `o${s}_${g}${local} = t${s}_${g}_${r};`,
            ]),
          "if (is_active) {",
          `${at("activations", `(${inputs}u + ${unit})`, 0, g)} = n${g}_${r}.value;`,
          ...sets.slice(1).map((s) => `${at("activations", `(${inputs}u + ${unit})`, s, g)} = t${s}_${g}_${r};`),
          "}",
        ];
        return text.join("\n");
      }),
    )
    .join("\n");

  const keepReverse = gs
    .flatMap((g) =>
      rs.map((r) => {
        const unit = `(layer * ${width}u + jb * ${outputs}u + ${r}u)`;
        const local = `[jb * ${outputs}u + ${r}u]`;
        const bend = sets.slice(1).map((s) => `raw${s}_${g}[${unit}] * a${s}_${g}_${r}`);
        return [
          `let e${g}_${r} = slope_${g}[${unit}];`,
          `let b0_${g}_${r} = ${bend.length === 0 ? `e${g}_${r} * a0_${g}_${r}` : `fma(curvature_${g}[${unit}], ${bend.join(" + ")}, e${g}_${r} * a0_${g}_${r})`};`,
          ...sets.slice(1).map((s) => `let b${s}_${g}_${r} = e${g}_${r} * a${s}_${g}_${r};`),
          ...sets.map((s) => `o${s}_${g}${local} = b${s}_${g}_${r};`),
          "if (is_active) {",
          ...sets.map((s) => `${at("cotangents", unit, s, g)} = b${s}_${g}_${r};`),
          "}",
        ].join("\n");
      }),
    )
    .join("\n");

  const advance = each((s, g) => lines(width, (k) => `h${s}_${g}_${k} = o${s}_${g}[${k}];`));
  const blockLoop = (body: string) => `for (var jb = 0u; jb < ${sizes.blocks}u; jb++) {\n${body}\n}\n${advance}`;

  /** Sums of the `dim` rows of an end of the network into `name`{g}_{i}, for the value or for the sets that are asked for. */
  const end = (array: string, biased: boolean, name: (s: number) => string, which: readonly number[]) =>
    range(sizes.ends)
      .map(
        (ib) => `{
${innerBlock(array, `${ib}`, biased, which)}
${which.flatMap((s) => gs.flatMap((g) => rs.filter((r) => ib * outputs + r < dim).map((r) => `${name(s)}${g}_${ib * outputs + r} = a${s}_${g}_${r};`))).join("\n")}
}`,
      )
      .join("\n");

  const declare = (name: string) =>
    gs.flatMap((g) => range(dim).map((i) => `var ${name}${g}_${i}: ${vector};`)).join("\n");
  const perDim = (text: (g: number, i: number) => string) =>
    gs.flatMap((g) => range(dim).map((i) => text(g, i))).join("\n");
  const live = (g: number) =>
    tiling.lanes === 1
      ? `let live${g} = select(0.0, 1.0, at${g} < params.count);`
      : `let live${g} = select(vec4f(0.0), vec4f(1.0), vec4u(at${g} * 4u) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.count));`;

  const inputsText = [
    ...gs.flatMap((g) => range(inputs).map((i) => `let x${g}_${i} = inputs[${i}u * params.stride + at${g}];`)),
    ...sets
      .slice(1)
      .flatMap((s) =>
        gs.flatMap((g) =>
          range(dim).map((i) =>
            kind === "basis"
              ? `let v${s}_${g}_${i} = ${vector}(select(0.0, 1.0, params.first_tangent + ${s - 1}u == ${i}u));`
              : `let v${s}_${g}_${i} = probes[((params.first_tangent + ${s - 1}u) * ${dim}u + ${i}u) * params.stride + at${g}];`,
          ),
        ),
      ),
    ...(reverse ? ["if (is_active) {"] : []),
    ...(reverse ? sets : []).flatMap((s) =>
      gs.flatMap((g) =>
        range(inputs).map(
          (i) =>
            `${at("activations", `${i}u`, s, g)} = ${s === 0 ? `x${g}_${i}` : i < dim ? `v${s}_${g}_${i}` : `${vector}(0.0)`};`,
        ),
      ),
    ),
    ...(reverse ? ["}"] : []),
  ].join("\n");

  const storeTop = `if (is_active) {
${sets.map((s) => perDim((g, i) => `${at("cotangents", `${layers * width + i}u`, s, g)} = q${s}_${g}_${i};`)).join("\n")}
}`;
  const penalisedSets = isMatrix ? [0] : sets;
  /** Adds the penalties' cotangents to those of the outputs, and the penalties themselves to what they were. */
  const penaltyText = `${penalisedSets
    .map((s) => {
      const weight = spread(s === 0 ? "params.energy" : "params.jacobian");
      return perDim(
        (g, i) => `q${s}_${g}_${i} += ${spread("params.twice")} * (${weight} * (live${g} * o${s}_${g}_${i}));`,
      );
    })
    .join("\n")}
if (is_active) {
${gs
  .map((g) => {
    const squares = (s: number) =>
      range(dim)
        .map((i) => `o${s}_${g}_${i} * o${s}_${g}_${i}`)
        .join(" + ");
    const tangentsOf = penalisedSets.slice(1).map(squares).join(" + ");
    return `kappa[${isMatrix ? dim * (1 + tangents) : dim}u * params.stride + at${g}] += live${g} * (${spread("params.energy")} * (${squares(0)})${tangentsOf ? ` + ${spread("params.jacobian")} * (${tangentsOf})` : ""});`;
  })
  .join("\n")}
}`;

  const topText =
    task === "residual"
      ? `${gs.map((g) => `${live(g)}\nvar square${g} = ${vector}(0.0);${shape.weighted ? `\nlet weight${g} = wanted[${dim}u * params.stride + at${g}];` : ""}`).join("\n")}
${perDim(
  (g, i) => `let d${g}_${i} = live${g} * (u${g}_${i} - wanted[${i}u * params.stride + at${g}]);
square${g} = fma(d${g}_${i}, d${g}_${i}, square${g});
let q0_${g}_${i} = ${spread("params.scale")} * ${shape.weighted ? `(weight${g} * d${g}_${i})` : `d${g}_${i}`};`,
)}
if (is_active) {
${gs.map((g) => `squares[at${g}] = ${shape.weighted ? `weight${g} * ` : ""}square${g};`).join("\n")}
}
${storeTop}`
      : `${gs.map(live).join("\n")}
${perDim((g, i) => `${penalised ? "var" : "let"} q0_${g}_${i} = kappa[${i}u * params.stride + at${g}];`)}
${sets
  .slice(1)
  .map((s) =>
    perDim((g, i) =>
      isMatrix
        ? `let q${s}_${g}_${i} = kappa[${s * dim + i}u * params.stride + at${g}];`
        : `${penalised ? "var" : "let"} q${s}_${g}_${i} = ${spread("params.scale")} * (live${g} * v${s}_${g}_${i});`,
    ),
  )
  .join("\n")}
${penalised ? penaltyText : ""}
${storeTop}`;

  const velocityOf = (s: number) => (s === 0 ? "u" : `jv${s}_`);
  /** What is received by x, and for a matrix by each of its tangents. */
  const bottomSets = isMatrix ? sets : [0];
  const receivedBy = (s: number) => `z${s}_`;
  const perBottom = (text: (s: number, g: number, i: number) => string) =>
    bottomSets.map((s) => perDim((g, i) => text(s, g, i))).join("\n");

  const forwardText = `{
const layer = 0u;
${blockLoop(`${firstBlock}\n${keepForward}`)}
}
${
  layers > 1
    ? `for (var layer = 1u; layer < ${layers}u; layer++) {
${blockLoop(`let b = (layer - 1u) * ${sizes.blocks}u + jb;
${innerBlock("forward_weights.hidden", "b", true, sets)}
${keepForward}`)}
}`
    : ""
}
${
  penalised
    ? `${penalisedSets.map((s) => declare(`o${s}_`)).join("\n")}
${end("forward_weights.last", true, (s) => `o${s}_`, penalisedSets)}`
    : task === "cotangent"
      ? ""
      : `${sets.map((s) => declare(velocityOf(s))).join("\n")}
${end("forward_weights.last", true, velocityOf, sets)}`
}`;

  const reverseText = `${topText}
{
const layer = ${layers - 1}u;
${blockLoop(`${topBlock}\n${keepReverse}`)}
}
${
  layers > 1
    ? `for (var down = 0u; down < ${layers - 1}u; down++) {
let layer = ${layers - 2}u - down;
${blockLoop(`let b = down * ${sizes.blocks}u + jb;
${innerBlock("reverse_weights.hidden", "b", false, sets)}
${keepReverse}`)}
}`
    : ""
}
${
  task === "cotangent"
    ? `${bottomSets.map((s) => declare(receivedBy(s))).join("\n")}
${end("reverse_weights.bottom", false, receivedBy, bottomSets)}
if (is_active) {
${perBottom((s, g, i) => `xbar[${s * dim + i}u * params.stride + at${g}] = z${s}_${g}_${i};`)}
}`
    : ""
}`;

  const hidden = (name: string, text: string) => (layers > 1 ? `  ${name}: ${text},\n` : "");
  const code = `struct ForwardWeights {
  first: array<array<vec4f, ${sizes.first}>, ${sizes.blocks}>,
${hidden("hidden", `array<array<vec4f, ${sizes.inner + 1}>, ${sizes.blocks * (layers - 1)}>`)}  last: array<array<vec4f, ${sizes.inner + 1}>, ${sizes.ends}>,
}
struct ReverseWeights {
  top: array<array<vec4f, ${sizes.top}>, ${sizes.blocks}>,
${hidden("hidden", `array<array<vec4f, ${sizes.inner}>, ${sizes.blocks * (layers - 1)}>`)}  bottom: array<array<vec4f, ${sizes.inner}>, ${sizes.ends}>,
}
${tangents > 0 && reverse ? bentActivationText(network.activation, vector) : activationText(network.activation, vector)}

@compute @workgroup_size(${tiling.workgroupSize})
fn gradient(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,${gather > 0 ? "\n  @builtin(subgroup_invocation_id) lane: u32," : ""}
) {
let index = id.x + id.y * workgroups.x * ${tiling.workgroupSize}u;
let is_active = index < params.slots;
// surplus invocations repeat the last slot and store nothing, so that subgroups stay whole
let slot = params.first + min(index, params.slots - 1u);
let row_vectors = ${1 + tangents}u * params.stride;
${lines(groups, (g) => `let at${g} = slot * ${groups}u + ${g}u;`)}
${inputsText}
${each((s, g) => `var o${s}_${g}: array<${vector}, ${width}>;`)}
${each((s, g) => lines(width, (k) => `var h${s}_${g}_${k}: ${vector};`))}
${
  reverse
    ? lines(
        groups,
        (g) => `var slope_${g}: array<${vector}, ${layers * width}>;
${tangents > 0 ? `var curvature_${g}: array<${vector}, ${layers * width}>;` : ""}
${sets
  .slice(1)
  .map((s) => `var raw${s}_${g}: array<${vector}, ${layers * width}>;`)
  .join("\n")}`,
      )
    : ""
}
${forwardText}
${
  reverse
    ? reverseText
    : `if (is_active) {
${sets.map((s) => perDim((g, i) => `velocity[${s * dim + i}u * params.stride + at${g}] = ${velocityOf(s)}${g}_${i};`)).join("\n")}
}`
}
}
`;
  return kernel({
    label: `narrow gradient ${task}, ${inputs}→${layers}×${width}→${dim} ${network.activation}, ${tangents} ${kind} tangents${penalised ? " and penalties" : ""}, ${tiling.lanes * groups}×${outputs}${gather > 0 ? " gather" : ""} ${tiling.space}`,
    entryPoint: "gradient",
    enable: gather > 0 ? ["subgroups"] : [],
    params: {
      first: "u32",
      slots: "u32",
      stride: "u32",
      count: "u32",
      first_tangent: "u32",
      scale: "f32",
      twice: penalised && "f32",
      energy: penalised && "f32",
      jacobian: penalised && "f32",
    },
    buffers,
    code: wgsl`${code}`,
  });
});
