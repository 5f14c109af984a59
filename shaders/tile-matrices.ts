import { type Tiling, tileSizes } from "./tiling.ts";
import { lines } from "./wgsl.ts";

/** Rows, columns and inputs of a subgroup's matrices, f16 with sums in f32: the size that GPUs of AMD, Intel and NVIDIA have. */
export const matrixSize = 16;

/** Numbers between the columns of the sums: with a few more than a tile's particles, stores do not meet in one bank. */
const sumStride = ({ tile = 0 }: Tiling) => tile + 4;

/** Rows of f16 between particles, with eight more for the same reason. */
export const particleStride = (halfRows: number) => matrixSize * Math.ceil(halfRows / matrixSize) + 8;

/** Whether a matrix goes by the subgroup's matrices on a tile: each subgroup has sixteen of its outputs. */
export function isByMatrices(tiling: Tiling, inputs: number, width: number): boolean {
  const { blocks } = tileSizes(tiling);
  return tiling.matrices === true && inputs % matrixSize === 0 && width === matrixSize * blocks;
}

/** Module-scope text: activations [particle][row], and the sums of `rows` outputs [row][particle]. */
export function matricesText(tiling: Tiling, halfRows: number, rows: number): string {
  return `var<workgroup> pf_half: array<f16, ${(tiling.tile ?? 0) * particleStride(halfRows)}>;
var<workgroup> pf_sums: array<f32, ${Math.max(1, rows) * sumStride(tiling)}>;
`;
}

/** Bytes of these for a particle. */
export function matricesBytes(tiling: Tiling, halfRows: number, rows: number): number {
  return 2 * particleStride(halfRows) + (4 * Math.max(1, rows) * sumStride(tiling)) / (tiling.tile ?? 1);
}

/** The sum of row `row` that {@link matrixProduct} has left. */
export const sumText = (tiling: Tiling, row: string) => `pf_sums[(${row}) * ${sumStride(tiling)}u + q]`;

/**
 * Statements that leave the sums of a matrix with rows `from` … of all particles from row `to` of pf_sums on: a subgroup has its sixteen
 * columns of the matrix in registers, as those of tiny-cuda-nn do (Müller et al. 2021), and the particles pass by them. The places in
 * workgroup memory are constants, since compilers make detours of others.
 */
export function matrixProduct(
  tiling: Tiling,
  { member, inputs }: { readonly member: string; readonly inputs: number },
  stride: number,
  from: number,
  to: number,
) {
  const size = matrixSize;
  const slices = inputs / size;
  const sums = sumStride(tiling);
  const kind = (side: string) => `subgroup_matrix_${side}<f16, ${size}, ${size}>`;
  const weights = lines(
    slices,
    (k) =>
      `let w${k} = subgroupMatrixLoad<${kind("right")}, col_major>(&pf_weights.${member}, jz * ${size * inputs}u + ${k * size}u, ${inputs}u);`,
  );
  const rows = (m: number, k: number) =>
    `subgroupMatrixLoad<${kind("left")}, row_major>(&pf_half, ${m * size * stride + from + k * size}u, ${stride}u)`;
  const particles = lines(
    (tiling.tile ?? 0) / size,
    (m) => `{
var sum = subgroup_matrix_result<f32, ${size}, ${size}>();
${lines(slices, (k) => `sum = subgroupMatrixMultiplyAccumulate(${rows(m, k)}, w${k}, sum);`)}
subgroupMatrixStore<col_major>(&pf_sums, (jb * ${size}u + ${to}u) * ${sums}u + ${m * size}u, sum, ${sums}u);
}`,
  );
  return `{\n${weights}\n${particles}\n}`;
}
