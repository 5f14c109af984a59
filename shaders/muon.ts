import { type Dispatch, dispatchOf, gridOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { struct } from "./struct.ts";
import { components } from "./tiling.ts";
import { wgsl } from "./wgsl.ts";

/*
 * Muon (Jordan et al. 2024): the momentum of a matrix of weights, with all its singular values brought near 1, is its step. All matrices
 * of a network go through the same dispatches. Each is worked on as X [short][long], transposed where it has more rows than columns,
 * beside Xᵀ, both padded with zeros to whole tiles; zeros stay zero.
 */

/** Rows and columns of a tile. */
export const muonTile = 8;

/** x ↦ a x + b x³ + c x⁵, five times, brings every singular value from (0, 1] to about 1 (Jordan et al. 2024). */
const [a, b, c] = [3.4445, -4.775, 2.0315];

/** Numbers of a tile, and invocations of the kernels that go through them one by one. */
const cells = muonTile ** 2;

/** Text that has the first invocation of a workgroup add `mine` of all, in their order, to `total`. */
const ownSum = wgsl`
  terms[local] = mine;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < select(0u, ${muonTile ** 2}u, local == 0u); i++) { total += terms[i]; }
`;

/** A matrix in the table. */
export const matrixStruct = struct("Matrix", {
  parameters: "u32",
  short: "u32",
  long: "u32",
  transposed: "u32",
  values: "u32",
  gram: "u32",
  parts: "u32",
  blocks: "u32",
});

/** Where number \`local\` of a block of 8 × 8 stands: in X and Xᵀ, and among the parameters where it is no padding. */
const placeText = wgsl`
struct Place { x: u32, across: u32, parameter: u32, is_inside: bool }

fn place(block: vec2u, local: u32) -> Place {
  let m = matrices[block.x];
  let row = ${muonTile}u * (block.y & 0xffffu) + local / ${muonTile}u;
  let column = ${muonTile}u * (block.y >> 16u) + local % ${muonTile}u;
  let height = (m.short + ${muonTile - 1}u) / ${muonTile}u * ${muonTile}u;
  let width = (m.long + ${muonTile - 1}u) / ${muonTile}u * ${muonTile}u;
  return Place(
    m.values + row * width + column,
    m.values + height * width + column * height + row,
    m.parameters + select(row * m.long + column, column * m.short + row, m.transposed == 1u),
    row < m.short && column < m.long,
  );
}
`;

const tables = { matrices: read("array<Matrix>"), tiles: read("array<vec2u>") };

/** m ← μ m + g, X ← g + μ m (Nesterov's), and Σ X² of each block of 8 × 8, of which a workgroup has one. */
export const muonMomentumKernel = oncePerShape(({ clip }: { readonly clip: boolean }) =>
  kernel({
    label: "muon momentum",
    entryPoint: "muon_momentum",
    params: { blocks: "u32", momentum: "f32", clip: "f32" },
    buffers: {
      ...tables,
      gradient: read("array<f32>"),
      first_moment: write("array<f32>"),
      x: write("array<f32>"),
      squares: write("array<f32>"),
      norm: clip && read("array<f32>"),
    },
    code: wgsl`
${matrixStruct.text}
${placeText}
var<workgroup> terms: array<f32, ${cells}>;

@compute @workgroup_size(${cells})
fn muon_momentum(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32,
) {
  let block = group.x + group.y * groups.x;
  let at = place(tiles[min(block, params.blocks - 1u)], local);
  var value = 0.0;
  if (block < params.blocks) {
    if (at.is_inside) {
      var g = gradient[at.parameter];
#if ${clip}
      g *= min(1.0, params.clip / max(sqrt(norm[0]), 1e-30));
#endif
      let m = fma(params.momentum, first_moment[at.parameter], g);
      first_moment[at.parameter] = m;
      value = fma(params.momentum, m, g);
    }
    x[at.x] = value;
    x[at.across] = value;
  }
  let mine = value * value;
  ${ownSum}
  if (local == 0u && block < params.blocks) { squares[block] = total; }
}
`,
  }),
);

/** 1/‖X‖ of each matrix, of which a workgroup has one; of zeros a number that leaves them zero. */
export const muonNormKernel = oncePerShape((_: Record<never, never>) =>
  kernel({
    label: "muon norm",
    entryPoint: "muon_norm",
    params: { count: "u32" },
    buffers: { matrices: tables.matrices, squares: read("array<f32>"), scales: write("array<f32>") },
    code: wgsl`
${matrixStruct.text}
var<workgroup> terms: array<f32, ${cells}>;

@compute @workgroup_size(${cells})
fn muon_norm(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let m = matrices[group.x];
  var mine = 0.0;
  for (var i = local; i < m.blocks; i += ${cells}u) { mine += squares[m.parts + i]; }
  ${ownSum}
  if (local == 0u && group.x < params.count) { scales[group.x] = 1.0 / max(sqrt(total), 1e-15); }
}
`,
  }),
);

export interface MuonProductShape {
  /** XXᵀ; aI + bA + cA² of that; or this times X. */
  readonly product: "gram" | "polynomial" | "apply";
  readonly workgroupSize: number;
}

/** Inputs that are added with one assignment per sum, as in dense.ts. */
const unroll = 4;

/**
 * Σ_k left[k][i] right[k][j] for tiles of 8 × 8, an invocation each, k in its order. What is symmetric is computed on and above the
 * diagonal. The first products of an iteration scale X to ‖X‖ = 1.
 */
export const muonProductKernel = oncePerShape(({ product, workgroupSize }: MuonProductShape) => {
  const isApply = product === "apply";
  const halves = [0, 1];
  const rows = Array.from({ length: muonTile }, (_, i) => i);
  const turns = Array.from({ length: unroll }, (_, n) => n);
  const loads = turns.flatMap((n) =>
    halves.flatMap((q) => [
      `let l${q}_${n} = left[left_at + (k + ${n}u) * height + ${q}u];`,
      `let r${q}_${n} = ${isApply ? "x" : "left"}[right_at + (k + ${n}u) * right_width + ${q}u];`,
    ]),
  );
  const sums = rows.flatMap((i) => halves.map((q) => ({ i, q, name: `a${i}_${q}` })));
  const add = ({ i, q, name }: (typeof sums)[number]) => {
    const factor = (n: number) => `vec4f(l${Math.floor(i / 4)}_${n}.${components[i % 4]})`;
    return `${name} = ${turns.reduce((sum, n) => `fma(${factor(n)}, r${q}_${n}, ${sum})`, name)};`;
  };
  return kernel({
    label: `muon ${product}`,
    entryPoint: "muon_product",
    params: { first: "u32", count: "u32", is_first: "u32", cells: "u32" },
    buffers: {
      ...tables,
      left: read("array<vec4f>"),
      x: isApply && read("array<vec4f>"),
      scales: product !== "polynomial" && read("array<f32>"),
      result: write("array<f32>"),
    },
    code: wgsl`
${matrixStruct.text}

@compute @workgroup_size(${workgroupSize})
fn muon_product(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let number = id.x + id.y * groups.x * ${workgroupSize}u;
  if (number >= params.count) { return; }
  let tile = tiles[params.first + number];
  let m = matrices[tile.x];
  let row = ${muonTile}u * (tile.y & 0xffffu);
  let column = ${muonTile}u * (tile.y >> 16u);
  // of a row of Xᵀ, and of X, in vec4f
  let height = (m.short + ${muonTile - 1}u) / ${muonTile}u * ${muonTile / 4}u;
  let width = (m.long + ${muonTile - 1}u) / ${muonTile}u * ${muonTile / 4}u;
  let across = m.values + 16u * height * width;
#if ${product === "gram"}
  let terms = 4u * width;
  let base = across / 4u;
#else
  let terms = 4u * height;
  let base = m.gram / 4u;
#endif
  let left_at = base + row / 4u;
#if ${isApply}
  let right_width = width;
  let right_at = (m.values + column) / 4u;
#else
  let right_width = height;
  let right_at = base + column / 4u;
#endif
  ${sums.map(({ name }) => `var ${name} = vec4f(0.0);`).join("\n  ")}
  for (var k = 0u; k < terms; k += ${unroll}u) {
    ${[...loads, ...sums.map(add)].join("\n    ")}
  }
#if ${product === "gram"}
  let factor = select(1.0, scales[tile.x] * scales[tile.x], params.is_first == 1u);
#elif ${isApply}
  let factor = select(1.0, scales[tile.x], params.is_first == 1u);
#endif
  // a loop of unknown length, since software adapters compile every store for long
  var sums = array<vec4f, ${sums.length}>(${sums.map(({ name }) => name).join(", ")});
  for (var e = 0u; e < min(params.cells, ${cells}u); e++) {
    let i = row + e / ${muonTile}u;
    let j = column + e % ${muonTile}u;
    let sum = sums[e / 4u][e % 4u];
#if ${product === "polynomial"}
    let value = fma(${c}, sum, ${b} * left[base + i * height + j / 4u][j % 4u]) + select(0.0, ${a}, i == j);
#else
    let value = sum * factor;
#endif
#if ${isApply}
    result[m.values + i * 4u * width + j] = value;
    result[across + j * 4u * height + i] = value;
#else
    result[m.gram + i * 4u * height + j] = value;
    result[m.gram + j * 4u * height + i] = value;
#endif
  }
}
`,
  });
});

/** W ← W − η √max(1, rows/columns) X, then the moving average. */
export const muonStepKernel = oncePerShape(({ ema }: { readonly ema: boolean }) =>
  kernel({
    label: "muon step",
    entryPoint: "muon_step",
    params: { blocks: "u32", learning_rate: "f32", ema: "f32", rest: "f32" },
    buffers: {
      ...tables,
      x: read("array<f32>"),
      parameters: write("array<f32>"),
      average: ema && write("array<f32>"),
    },
    code: wgsl`
${matrixStruct.text}
${placeText}
@compute @workgroup_size(${cells})
fn muon_step(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32,
) {
  let block = group.x + group.y * groups.x;
  if (block >= params.blocks) { return; }
  let tile = tiles[block];
  let at = place(tile, local);
  if (!at.is_inside) { return; }
  let m = matrices[tile.x];
  let rate = params.learning_rate * select(1.0, sqrt(f32(m.long) / f32(m.short)), m.transposed == 1u);
  let next = parameters[at.parameter] - rate * x[at.x];
  parameters[at.parameter] = next;
#if ${ema}
  average[at.parameter] = fma(params.ema, average[at.parameter], params.rest * next);
#endif
}
`,
  }),
);

/** Names of what all dispatches read. */
const tableNames = { matrices: "muon.matrices", tiles: "muon.blocks" };

/** "gradient" → "adam.m", X in "muon.x" and the squares of its blocks. */
export function planMuonMomentum(o: { blocks: number; momentum: number; gradientClip: number | undefined }): Dispatch {
  const { blocks, momentum, gradientClip } = o;
  return dispatchOf(muonMomentumKernel({ clip: gradientClip !== undefined }), {
    params: { blocks, momentum, clip: gradientClip ?? 0 },
    buffers: {
      ...tableNames,
      gradient: "gradient",
      first_moment: "adam.m",
      x: "muon.x",
      squares: "muon.squares",
      norm: gradientClip === undefined ? undefined : "norm",
    },
    workgroups: gridOf(blocks),
    flops: blocks * cells * 6,
  });
}

export function planMuonNorm({ matrices, blocks }: { matrices: number; blocks: number }): Dispatch {
  return dispatchOf(muonNormKernel({}), {
    params: { count: matrices },
    buffers: { matrices: tableNames.matrices, squares: "muon.squares", scales: "muon.scales" },
    workgroups: [matrices],
    flops: blocks,
  });
}

/** Tiles `first` … of one product of all matrices. */
export function planMuonProduct(
  shape: MuonProductShape,
  o: { first: number; count: number; isFirst: boolean; flops: number; x: string; result: string },
): Dispatch {
  const { first, count, isFirst, flops, x, result } = o;
  const { product, workgroupSize } = shape;
  return dispatchOf(muonProductKernel(shape), {
    params: { first, count, is_first: isFirst ? 1 : 0, cells: cells },
    buffers: {
      matrices: tableNames.matrices,
      tiles: product === "apply" ? tableNames.tiles : "muon.triangles",
      left: product === "gram" ? x : product === "polynomial" ? "muon.gram" : "muon.polynomial",
      x: product === "apply" ? x : undefined,
      scales: product === "polynomial" ? undefined : "muon.scales",
      result,
    },
    workgroups: gridOf(Math.ceil(count / workgroupSize)),
    flops,
  });
}

/** X in the buffer `x` → "parameters", and "average". `average` is the decay of this step. */
export function planMuonStep(o: {
  blocks: number;
  learningRate: number;
  x: string;
  average: number | undefined;
}): Dispatch {
  const { blocks, learningRate, x, average } = o;
  return dispatchOf(muonStepKernel({ ema: average !== undefined }), {
    params: { blocks, learning_rate: learningRate, ema: average ?? 0, rest: 1 - (average ?? 0) },
    buffers: {
      ...tableNames,
      x,
      parameters: "parameters",
      average: average === undefined ? undefined : "average",
    },
    workgroups: gridOf(blocks),
    flops: blocks * cells * 4,
  });
}
