import { item, must } from "../src/must.ts";
import { type GradientStage, type Place, placeOf, type Schedule } from "../src/network/stages.ts";
import { columnsTogether, type ReverseMemory, rowsTogether } from "./reverse-memory.ts";
import { moving, type Row, remainder, rowText } from "./tile-memory.ts";
import { type Tiling, tileSizes } from "./tiling.ts";
import { lines } from "./wgsl.ts";

/** Invocations at most that have rows of the longer side of a matrix, and the same rows of the other. */
const mostLanes = 32;
/**
 * Rows of either side that an invocation has at most: a × b sums read a + b numbers of workgroup memory for each column, which gives GPUs
 * about a quarter of a number for each multiply-add.
 */
const mostRows = 8;
/** Invocations of a subgroup: so many a product has at least, where it has so many of four rows by one. */
const subgroup = 32;

/** Where the gradients of a tensor go in the flat order of the parameters, and the numbers of a row of the matrix. */
export interface TensorPlace {
  readonly offset: number;
  readonly rowLength: number;
}

/**
 * Statements that sum the gradient of a matrix over the columns of a tile, ∂W[o][i] = Σ_q c[o][q] h[i][q], and of a bias or another
 * vector, Σ_q c[o][q], and put them into the segment's partial sums. Of tangents there is a sum for each, and with those of the values
 * they are one. An invocation has a few rows of either side in registers, which lie together. `adds`: a condition, whether there are partial sums already.
 * In scope: pf_local, pf_segment, jb, q, base.
 */
export function gradientText(
  made: Schedule,
  memory: ReverseMemory,
  tiling: Tiling,
  tensorAt: (tensor: string) => TensorPlace,
  stages: readonly GradientStage[],
  adds: string,
): string {
  const [stage] = stages as [GradientStage];
  const { tensor, outputs, matrix } = stage.gradient;
  const each = stages.flatMap(({ gradient }) => memory.sets(gradient.batched).map((s) => ({ gradient, s })));
  const cotangents = each.map(({ gradient, s }) => ({
    start: memory.rowIn(placeOf(made, gradient.cotangent), s),
    rows: outputs,
  }));
  const vector = matrix ? matrix.bias : tensor;
  // a bias has no tangents
  const ofVector = matrix ? cotangents.slice(0, 1) : cotangents;
  const sums = vector === undefined ? "" : vectorText(memory, tiling, tensorAt(vector), ofVector, adds);
  if (!matrix) return sums;
  const { offset, rowLength } = tensorAt(tensor);
  const terms = each.map(({ gradient, s }, i): Term => {
    const from = placeOf(made, must(gradient.matrix, "what a product takes").of);
    const { start, isFetched } = memory.inputsOf(stage, from, s);
    const inputs = { start, rows: matrix.inputs };
    return {
      inputs,
      cotangents: item(cotangents, i),
      fetch: isFetched ? fetchText(memory, tiling, from, inputs, s) : "",
    };
  });
  const place = (output: string, input: string) => `${offset + matrix.from}u + ${output} * ${rowLength}u + ${input}`;
  return `${productText(memory, tiling, terms, place, adds)}\n${sums}`;
}

/** The two sides of a product of the sum, and what brings its inputs back to the tile. */
interface Term {
  readonly inputs: Side;
  readonly cotangents: Side;
  readonly fetch: string;
}

/** Rows of the tile. */
interface Side {
  readonly start: number;
  readonly rows: number;
}

/** Statements that bring rows back to the tile. */
function fetchText(memory: ReverseMemory, tiling: Tiling, from: Place, { start, rows }: Side, s: number): string {
  const { blocks } = tileSizes(tiling);
  const copy = (row: Row) => `${memory.cell(start, row)} = ${memory.read(from, row, s)};`;
  return `for (var row = jb; row < ${Math.ceil(rows / rowsTogether)}u; row += ${blocks}u) {
${lines(rowsTogether, (r) => copy(moving("row", rowsTogether, r)))}
}
workgroupBarrier();`;
}

const fewest = (rows: number, most: number) => [1, 2, 4, 8].find((size) => size >= rows || size === most) ?? most;

function productText(
  memory: ReverseMemory,
  tiling: Tiling,
  terms: readonly Term[],
  place: (output: string, input: string) => string,
  adds: string,
): string {
  const { columns } = tileSizes(tiling);
  // neighbours write neighbours where inputs are the longer side
  const [first] = terms as [Term];
  const isAlongOutputs = first.cotangents.rows > first.inputs.rows;
  const sidesOf = ({ inputs, cotangents }: Term) =>
    isAlongOutputs ? { long: cotangents, short: inputs } : { long: inputs, short: cotangents };
  const { long, short } = sidesOf(first);
  let longRows = fewest(long.rows, 4);
  let shortRows = fewest(Math.ceil((long.rows * short.rows) / longRows / tiling.workgroupSize), mostRows);
  // what is read twice as often costs more than invocations without work, as long as whole subgroups have none
  const invocations = () => Math.ceil(long.rows / longRows) * Math.ceil(short.rows / shortRows);
  while (invocations() >= 2 * subgroup && Math.min(longRows, shortRows) < mostRows)
    if (longRows > shortRows) shortRows *= 2;
    else longRows *= 2;
  const lanes = Math.min(mostLanes, 2 ** Math.ceil(Math.log2(Math.ceil(long.rows / longRows))));
  const { workgroupSize } = tiling;
  const groups = workgroupSize / lanes;
  // others of a workgroup's subgroups work in the next one, since those of one number share a part of a processor
  const busy = subgroup * Math.ceil((lanes * Math.ceil(short.rows / shortRows)) / subgroup);
  const worker = 2 * busy > workgroupSize ? "pf_local" : remainder(`(pf_local + pf_segment * ${busy}u)`, workgroupSize);
  const summed = (term: Term) => {
    const { long, short } = sidesOf(term);
    const own = (of: string, rows: number, { start }: Side, name: string, c: number) =>
      lines(rows, (r) => `let ${name}${r} = ${memory.rowsOf("k", c, start, moving(of, rows, r))};`);
    const column = (c: number) => `{
${own("along", longRows, long, "h", c)}
${own("across", shortRows, short, "c", c)}
${lines(shortRows, (r) => lines(longRows, (j) => `s${r}_${j} = fma(c${r}, h${j}, s${r}_${j});`))}
}`;
    return `for (var k = 0u; k < ${columns / columnsTogether}u + pf_params.zero; k++) {
${lines(columnsTogether, column)}
}`;
  };
  const stores = lines(longRows, (j) => {
    const row = rowText(moving("along", longRows, j));
    const each = (text: (sum: string, place: string) => string) =>
      lines(shortRows, (r) => {
        const other = rowText(moving("across", shortRows, r));
        const at = isAlongOutputs ? place(`(${row})`, `(${other})`) : place(`(${other})`, `(${row})`);
        const put = text(`s${r}_${j}`, `pf_partials[base + ${at}]`);
        return short.rows % shortRows === 0 ? put : `if (${other} < ${short.rows}u) { ${put} }`;
      });
    // a branch for some sums: one for each keeps a compiler busy, and one for all takes as many registers again
    const own = `if (${adds}) {
${each((sum, place) => `${sum} += ${place};`)}
}
${each((sum, place) => `${place} = ${sum};`)}`;
    return long.rows % (lanes * longRows) === 0 ? own : `if (${row} < ${long.rows}u) {\n${own}\n}`;
  });
  const begin = lines(shortRows, (r) => lines(longRows, (j) => `var s${r}_${j} = 0.0;`));
  const blocks = Math.ceil(short.rows / shortRows);
  const end = lanes * Math.ceil(long.rows / (lanes * longRows));
  if (terms.some(({ fetch }) => fetch !== "") && terms.length > 1) {
    // one is fetched after the other, to the same rows: all invocations go through the same turns
    const parts = terms.map((term) => `${term.fetch}\nif (works) {\n${summed(term)}\n}\nworkgroupBarrier();`);
    return `let worker = ${worker};
for (var first = 0u; first < ${end}u; first += ${lanes}u) {
for (var block = 0u; block < ${groups * Math.ceil(blocks / groups)}u; block += ${groups}u) {
let along = first + ${remainder("worker", lanes)};
let across = block + worker / ${lanes}u;
let works = across < ${blocks}u;
${begin}
${parts.join("\n")}
if (works) {
${stores}
}
}
}`;
  }
  const body = `${begin}\n${terms.map((term) => `{\n${summed(term)}\n}`).join("\n")}\n${stores}`;
  const across =
    blocks > groups
      ? `for (var across = worker / ${lanes}u; across < ${blocks}u; across += ${groups}u) {\n${body}\n}`
      : `let across = worker / ${lanes}u;\nif (across < ${blocks}u) {\n${body}\n}`;
  const all =
    end === lanes
      ? `{\nlet along = ${remainder("worker", lanes)};\n${across}\n}`
      : `for (var along = ${remainder("worker", lanes)}; along < ${end}u; along += ${lanes}u) {\n${across}\n}`;
  return `${first.fetch}\nlet worker = ${worker};\n${all}`;
}

/** Sums of the rows of the cotangents: an invocation has one of them. */
function vectorText(
  memory: ReverseMemory,
  tiling: Tiling,
  { offset }: TensorPlace,
  cotangents: readonly Side[],
  adds: string,
): string {
  const { columns } = tileSizes(tiling);
  const { rows } = item(cotangents, 0);
  const sum = (c: number) =>
    cotangents.map(({ start }) => `sum${c % 4} += ${memory.rowsOf("k", c, start, moving("own"))};`).join(" ");
  return `for (var own = pf_local; own < ${rows}u; own += ${tiling.workgroupSize}u) {
${lines(4, (c) => `var sum${c} = 0.0;`)}
for (var k = 0u; k < ${columns / columnsTogether}u + pf_params.zero; k++) {
${lines(columnsTogether, sum)}
}
var sum = (sum0 + sum1) + (sum2 + sum3);
if (${adds}) { sum += pf_partials[base + ${offset}u + own]; }
pf_partials[base + ${offset}u + own] = sum;
}`;
}
