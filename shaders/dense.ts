import { read } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { type ClusterShape, clusterBuffers, clusterFunctions, clusterParams, clusterText } from "./rows.ts";
import { broadcastOf, components } from "./tiling.ts";
import { nowhere } from "./weight-gradient.ts";
import { lines, wgsl } from "./wgsl.ts";

/**
 * Tile of the dense kernels: each invocation owns 4·groups particles and 4·quads outputs. The tiles of a workgroup lie side by
 * side along the particles; with `staged` they form a block of `rows` × workgroupSize / rows.
 */
export interface DenseTile {
  readonly groups: number;
  readonly quads: number;
  /**
   * Inputs that are added with one assignment per sum: registers that change in a loop are costly on software adapters. There compiling
   * what stands more than once is costly, too.
   */
  readonly unroll: number;
  readonly workgroupSize: number;
  /** Subgroup size, at least `quads`, when its lanes fetch the weights of a tile for each other; else 0. */
  readonly gather: number;
  /** When the workgroup first copies what it needs of `inputs` inputs to its own memory, which is fast on GPUs only. */
  readonly staged?: { readonly rows: number; readonly inputs: number };
}

export const plainTile: DenseTile = { groups: 2, quads: 1, unroll: 4, workgroupSize: 64, gather: 0 };

/** For tables, whose columns are few: the least text, which lavapipe compiles in an eighth of the time that it takes for the plain one. */
export const smallTile: DenseTile = { groups: 1, quads: 1, unroll: 1, workgroupSize: 64, gather: 0 };

/**
 * For GPUs: 128 particles × 64 outputs a workgroup, 8 × 8 an invocation, so that an input costs four reads of vec4f from
 * workgroup memory for 64 multiply-adds; 12 KiB of the 16 KiB that WebGPU promises.
 */
export const stagedTile: DenseTile = {
  groups: 2,
  quads: 2,
  unroll: 1,
  workgroupSize: 128,
  gather: 0,
  staged: { rows: 8, inputs: 16 },
};

/** Four-particle vectors and output quads of a workgroup. */
export function workgroupTile({ groups, quads, workgroupSize, staged }: DenseTile): { vectors: number; quads: number } {
  const rows = staged?.rows ?? 1;
  return { vectors: (groups * workgroupSize) / rows, quads: quads * rows };
}

interface DenseShape {
  /** In one text for layers with and without a bias, the place of one that is not there is `nowhere`. */
  readonly bias: boolean | "optional";
  /** What is made of each sum, and stored. */
  readonly cluster: ClusterShape;
  readonly tile: DenseTile;
}

/** What every kernel of a layer is told: its particles, the places of its weights and its inputs, then what its cluster needs. */
export const denseParams = {
  first: "u32",
  vectors: "u32",
  stride: "u32",
  inputs: "u32",
  outputs: "u32",
  weights: "u32",
  row_vectors: "u32",
  bias: "u32",
  given: "u32",
  given_rows: "u32",
} as const;

/**
 * One layer for all particles: W·in + b and what is made of each of its rows, activations feature-major [features][stride] with four
 * particles a vec4f, weights [input][outputs padded to 4]. Dimension z counts tangents. Serves forward passes, tangents and, with the
 * other packing of W, the reverse pass. Every tile adds the bias and then the inputs in their order, so tiles differ by contraction only.
 */
export const denseKernel = oncePerShape(({ bias, cluster, tile }: DenseShape) => {
  const { gather, staged, workgroupSize } = tile;
  const sums = sumsOf(tile);
  const guarded = (row: string, isIn: string, sum: string, p: string) =>
    // rows before the first one wrap around to large numbers
    `if (${row} - params.first_row < params.outputs && ${isIn}) { finish(${sum}, ${row} - params.first_row, ${p}, ${staged ? "workgroup" : "id"}.z); }`;
  const straight = sums.map(({ gi, qi, r, name }) =>
    staged
      ? guarded(`4u * q${qi} + ${r}u`, `t${gi} < params.vectors`, name, `p${gi}`)
      : guarded(`row + ${4 * qi + r}u`, `${gi}u < valid`, name, `p${gi}`),
  );
  // Software adapters, which gather, compile what stands here a few dozen times for seconds: there it is a loop of unknown length.
  const rows = 4 * tile.quads;
  const looped = [
    `var sums = array<vec4f, ${sums.length}>(${sums.map(({ name }) => name).join(", ")});`,
    `for (var i = 0u; i < min(params.sums, ${sums.length}u); i++) {`,
    guarded(
      `row + i % ${rows}u`,
      `i / ${rows}u < valid`,
      "sums[i]",
      `params.first + min(tile + i / ${rows}u, params.vectors - 1u)`,
    ),
    "}",
  ];
  const store = gather > 0 ? looped : straight;
  const biasAt = (qi: number) => {
    const read = `weights[params.bias + min(q${qi}, params.row_vectors - 1u)]`;
    return bias === "optional" ? `select(vec4f(0.0), ${read}, params.bias != ${nowhere}u)` : read;
  };
  const begin = bias
    ? `${lines(tile.quads, (qi) => `let b${qi} = ${biasAt(qi)};`)}
  ${sums.map(({ qi, c, name }) => `var ${name} = vec4f(b${qi}.${c});`).join("\n")}`
    : sums.map(({ name }) => `var ${name} = vec4f(0.0);`).join("\n");
  return kernel({
    label: "dense layer",
    entryPoint: "dense",
    enable: gather > 0 ? ["subgroups"] : [],
    params: {
      ...denseParams,
      first_quad: "u32",
      first_row: "u32",
      sums: "u32",
      ...clusterParams(cluster),
    },
    buffers: { weights: read("array<vec4f>"), input: read("array<vec4f>"), ...clusterBuffers(cluster) },
    code: wgsl`
${clusterFunctions([cluster])}
fn finish(z: vec4f, row: u32, p: u32, s: u32) {
  ${clusterText(cluster, { loops: false, sum: () => "z" })}
}
#if ${staged !== undefined}
${stagedDeclarations(tile)}

@compute @workgroup_size(${workgroupSize})
fn dense(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let in_base = (params.given + workgroup.z * params.given_rows) * params.stride;
  ${stagedPlaces(tile)}
  ${begin}
  ${stagedSums(tile)}
#else

@compute @workgroup_size(${workgroupSize})
fn dense(@builtin(global_invocation_id) id: vec3u${gather > 0 ? ", @builtin(subgroup_invocation_id) lane: u32" : ""}) {
  let in_base = (params.given + id.z * params.given_rows) * params.stride;
  ${streamedPlaces(tile)}
  ${begin}
  ${streamedSums(tile)}
#endif
  ${store.join("\n")}
}
`,
  });
});

interface Sum {
  /** Particle vector and quad of the tile, and the component of the quad. */
  readonly gi: number;
  readonly qi: number;
  readonly c: string;
  readonly r: number;
  readonly name: string;
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

function sumsOf({ groups, quads }: DenseTile): Sum[] {
  return upTo(groups).flatMap((gi) =>
    upTo(quads).flatMap((qi) => components.map((c, r) => ({ gi, qi, c, r, name: `a${gi}_${4 * qi + r}` }))),
  );
}

function streamedPlaces({ groups, quads }: DenseTile): string {
  return wgsl`// surplus invocations repeat the last tile and store nothing, so that subgroups stay whole
  let tile = min(id.x, (params.vectors - 1u) / ${groups}u) * ${groups}u;
  let valid = select(0u, params.vectors - tile, id.x * ${groups}u < params.vectors);
  let quad = params.first_quad + id.y * ${quads}u;
  let row = quad * 4u;
  // surplus vectors of the last tile repeat a valid one and are not stored
  ${lines(groups, (gi) => `let p${gi} = params.first + min(tile + ${gi}u, params.vectors - 1u);`)}
  ${lines(quads, (qi) => `let q${qi} = min(quad + ${qi}u, params.row_vectors - 1u);`)}`;
}

/** Every input is read from the buffers; with `gather`, lane i of a subgroup reads quad i of the tile and all get it by broadcast. */
function streamedSums(tile: DenseTile): string {
  const { groups, quads, unroll, gather } = tile;
  const inputsText = (count: number) => {
    const u = upTo(count);
    const loads = u.map((n) => [
      ...upTo(groups).map((gi) => `let h${gi}_${n} = input[in_base + (k + ${n}u) * params.stride + p${gi}];`),
      ...(gather > 0
        ? [
            `let fetched${n} = weights[params.weights + (k + ${n}u) * params.row_vectors + min(quad + lane, params.row_vectors - 1u)];`,
            ...upTo(quads).map((qi) => `let w${qi}_${n} = ${broadcastOf(gather)}(fetched${n}, ${qi}u);`),
          ]
        : upTo(quads).map(
            (qi) => `let w${qi}_${n} = weights[params.weights + (k + ${n}u) * params.row_vectors + q${qi}];`,
          )),
    ]);
    const sums = sumsOf(tile).map(
      ({ gi, qi, c, name }) =>
        `${name} = ${u.reduce((sum, n) => `fma(h${gi}_${n}, vec4f(w${qi}_${n}.${c}), ${sum})`, name)};`,
    );
    return [...loads.flat(), ...sums].join("\n    ");
  };
  if (unroll === 1)
    return wgsl`for (var k = 0u; k < params.inputs; k++) {
    ${inputsText(1)}
  }`;
  return wgsl`let whole = params.inputs - params.inputs % ${unroll}u;
  for (var k = 0u; k < whole; k += ${unroll}u) {
    ${inputsText(unroll)}
  }
  for (var k = whole; k < params.inputs; k++) {
    ${inputsText(1)}
  }`;
}

function stagedDeclarations(tile: DenseTile): string {
  const { vectors, quads } = workgroupTile(tile);
  const inputs = tile.staged?.inputs ?? 0;
  return wgsl`var<workgroup> staged_input: array<vec4f, ${inputs * vectors}>;
var<workgroup> staged_weights: array<vec4f, ${inputs * quads}>;`;
}

/** Neighbours own neighbouring vectors, so that they read neighbouring words of workgroup memory. */
function stagedPlaces(tile: DenseTile): string {
  const columns = workgroupTile(tile).vectors / tile.groups;
  const rows = tile.staged?.rows ?? 1;
  const { vectors, quads } = workgroupTile(tile);
  return wgsl`let column = local % ${columns}u;
  let line = local / ${columns}u;
  let first_vector = workgroup.x * ${vectors}u;
  let first_quad = params.first_quad + workgroup.y * ${quads}u;
  ${lines(tile.groups, (gi) => `let t${gi} = first_vector + column + ${gi * columns}u;\nlet p${gi} = params.first + t${gi};`)}
  ${lines(tile.quads, (qi) => `let q${qi} = first_quad + line + ${qi * rows}u;`)}`;
}

/**
 * Slice by slice of the inputs, the workgroup copies its particles and weights, then all add. Beyond the last input zeros are
 * added; surplus particles and outputs repeat valid ones and are not stored.
 */
function stagedSums(tile: DenseTile): string {
  const { groups, quads, workgroupSize, staged } = tile;
  const { vectors, quads: allQuads } = workgroupTile(tile);
  const inputs = staged?.inputs ?? 0;
  const columns = vectors / groups;
  const rows = staged?.rows ?? 1;
  const copy = (count: number, text: (i: string) => string) =>
    lines(Math.ceil(count / workgroupSize), (n) => {
      const place = `{\n      let i = local + ${n * workgroupSize}u;\n      ${text("i")}\n    }`;
      return (n + 1) * workgroupSize <= count ? place : `if (local + ${n * workgroupSize}u < ${count}u) ${place}`;
    });
  return wgsl`for (var slice = 0u; slice < params.inputs; slice += ${inputs}u) {
    ${copy(
      inputs * vectors,
      (i) => `let k = slice + ${i} / ${vectors}u;
      let vector = min(first_vector + ${i} % ${vectors}u, params.vectors - 1u);
      staged_input[${i}] = select(vec4f(0.0), input[in_base + min(k, params.inputs - 1u) * params.stride + params.first + vector], k < params.inputs);`,
    )}
    ${copy(
      inputs * allQuads,
      (i) => `let k = slice + ${i} / ${allQuads}u;
      let quad = min(first_quad + ${i} % ${allQuads}u, params.row_vectors - 1u);
      staged_weights[${i}] = select(vec4f(0.0), weights[params.weights + min(k, params.inputs - 1u) * params.row_vectors + quad], k < params.inputs);`,
    )}
    workgroupBarrier();
    for (var k = 0u; k < ${inputs}u; k++) {
      ${lines(groups, (gi) => `let h${gi} = staged_input[k * ${vectors}u + column + ${gi * columns}u];`)}
      ${lines(quads, (qi) => `let w${qi} = staged_weights[k * ${allQuads}u + line + ${qi * rows}u];`)}
      ${sumsOf(tile)
        .map(({ gi, qi, c, name }) => `${name} = fma(h${gi}, vec4f(w${qi}.${c}), ${name});`)
        .join("\n      ")}
    }
    workgroupBarrier();
  }`;
}
