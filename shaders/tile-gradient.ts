import { type Place, placeOf, type Schedule, type Stage } from "../src/network/stages.ts";
import type { ReverseMemory } from "./reverse-memory.ts";
import { moving } from "./tile-memory.ts";
import { type Tiling, tileSizes } from "./tiling.ts";
import { lines } from "./wgsl.ts";

/** Invocations that have rows of the longer side of a matrix, and the same rows of the other. */
const lanes = 32;
/** Rows of the longer side that an invocation has at most, and of the other one. */
const [mostLong, mostShort] = [4, 8];

/** Where the gradients of a tensor go in the flat order of the parameters, and the numbers of a row of the matrix. */
export interface TensorPlace {
  readonly offset: number;
  readonly rowLength: number;
}

/** `pf_put`, by which invocations leave their sums. */
export const putText = `fn pf_put(place: u32, value: f32, adds: bool) {
if (adds) { pf_partials[place] += value; } else { pf_partials[place] = value; }
}`;

/**
 * Statements that sum the gradient of a matrix over the columns of a tile, ∂W[o][i] = Σ_q c[o][q] h[i][q], and of a bias or another
 * vector, Σ_q c[o][q], and put them into the segment's partial sums. An invocation has a few rows of either side in registers; those
 * of the shorter side are the same for 32 invocations, so that each reads another row of the longer one only.
 * In scope: pf_local, pf_segment, jb, q, base, adds.
 */
export function gradientText(
  made: Schedule,
  memory: ReverseMemory,
  tiling: Tiling,
  tensorAt: (tensor: string) => TensorPlace,
  stage: Extract<Stage, { kind: "gradient" }>,
): string {
  const { tensor, outputs, cotangent, matrix } = stage.gradient;
  const cotangents = { start: memory.rowIn(placeOf(made, cotangent)), rows: outputs };
  const vector = matrix ? matrix.bias : tensor;
  const sums = vector === undefined ? "" : vectorText(memory, tiling, tensorAt(vector), cotangents);
  if (!matrix) return sums;
  const { offset, rowLength } = tensorAt(tensor);
  const from = placeOf(made, matrix.of);
  const { start, isFetched } = memory.inputsOf(stage, from);
  const inputs = { start, rows: matrix.inputs };
  const place = (output: string, input: string) => `${offset + matrix.from}u + ${output} * ${rowLength}u + ${input}`;
  // neighbours write neighbours where inputs are the longer side
  const product =
    outputs > matrix.inputs
      ? productText(memory, tiling, cotangents, inputs, (long, short) => place(long, short))
      : productText(memory, tiling, inputs, cotangents, (long, short) => place(short, long));
  return `${isFetched ? fetchText(memory, tiling, from, inputs) : ""}\n${product}\n${sums}`;
}

/** Rows of the tile. */
interface Side {
  readonly start: number;
  readonly rows: number;
}

/** Statements that bring rows back to the tile. */
function fetchText(memory: ReverseMemory, tiling: Tiling, from: Place, { start, rows }: Side): string {
  const { blocks } = tileSizes(tiling);
  return `for (var row = jb; row < ${rows}u; row += ${blocks}u) {
${memory.quads(start, moving("row"))}[q / 4u][q % 4u] = ${memory.read(from, moving("row"), 0)};
}
workgroupBarrier();`;
}

/** A pointer to the columns of a row, and text that reads four of them. */
function quads(row: string, name: string) {
  const at = (k: string, i: number) => `(*${name})[${k}][${i}]`;
  return {
    declaration: `let ${name} = &${row};`,
    read: (k: string) => `vec4f(${at(k, 0)}, ${at(k, 1)}, ${at(k, 2)}, ${at(k, 3)})`,
  };
}

const fewest = (rows: number, most: number) => [1, 2, 4, 8].find((size) => size >= rows || size === most) ?? most;

function productText(
  memory: ReverseMemory,
  tiling: Tiling,
  long: Side,
  short: Side,
  place: (long: string, short: string) => string,
): string {
  const { columns } = tileSizes(tiling);
  const groups = tiling.workgroupSize / lanes;
  const longRows = fewest(Math.ceil(long.rows / lanes), mostLong);
  const shortRows = fewest(Math.ceil(short.rows / groups), mostShort);
  const ofLong = Array.from({ length: longRows }, (_, j) =>
    quads(memory.spread(long.start + lanes * j, "along"), `long${j}`),
  );
  const ofShort = Array.from({ length: shortRows }, (_, r) =>
    quads(memory.quads(short.start, moving("across", shortRows, r)), `short${r}`),
  );
  const sum = (r: number, j: number) =>
    ["x", "y", "z", "w"].reduce((sum, c) => `fma(c${r}.${c}, h${j}.${c}, ${sum})`, `s${r}_${j}`);
  const stores = lines(longRows, (j) => {
    const row = `along + ${lanes * j}u`;
    const own = lines(shortRows, (r) => {
      const other = `across * ${shortRows}u + ${r}u`;
      const put = `pf_put(base + ${place(`(${row})`, `(${other})`)}, s${r}_${j}, adds);`;
      return short.rows % shortRows === 0 ? put : `if (${other} < ${short.rows}u) { ${put} }`;
    });
    return long.rows % (lanes * longRows) === 0 ? own : `if (${row} < ${long.rows}u) {\n${own}\n}`;
  });
  const body = `${[...ofLong, ...ofShort].map(({ declaration }) => declaration).join("\n")}
${lines(shortRows, (r) => lines(longRows, (j) => `var s${r}_${j} = 0.0;`))}
for (var k = 0u; k < ${columns / 4}u + pf_params.zero; k++) {
${ofLong.map(({ read }, j) => `let h${j} = ${read("k")};`).join("\n")}
${ofShort.map(({ read }, r) => `let c${r} = ${read("k")};`).join("\n")}
${lines(shortRows, (r) => lines(longRows, (j) => `s${r}_${j} = ${sum(r, j)};`))}
}
${stores}`;
  const blocks = Math.ceil(short.rows / shortRows);
  const across =
    blocks > groups
      ? `for (var across = pf_local / ${lanes}u; across < ${blocks}u; across += ${groups}u) {\n${body}\n}`
      : `let across = pf_local / ${lanes}u;\nif (across < ${blocks}u) {\n${body}\n}`;
  const turn = lanes * longRows;
  if (long.rows <= turn) return `{\nlet along = pf_local % ${lanes}u;\n${across}\n}`;
  const end = turn * Math.ceil(long.rows / turn);
  return `for (var along = pf_local % ${lanes}u; along < ${end}u; along += ${turn}u) {\n${across}\n}`;
}

/** Sums of the rows of the cotangent: an invocation has one of them. */
function vectorText(memory: ReverseMemory, tiling: Tiling, { offset }: TensorPlace, { start, rows }: Side): string {
  const { columns } = tileSizes(tiling);
  const { declaration, read } = quads(memory.quads(start, moving("own")), "cotangents");
  return `for (var own = pf_local; own < ${rows}u; own += ${tiling.workgroupSize}u) {
${declaration}
var sum = vec4f(0.0);
for (var k = 0u; k < ${columns / 4}u + pf_params.zero; k++) { sum += ${read("k")}; }
pf_put(base + ${offset}u + own, (sum.x + sum.y) + (sum.z + sum.w), adds);
}`;
}
