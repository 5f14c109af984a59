import { item, must } from "../src/must.ts";
import { type GradientStage, placeOf, type Schedule } from "../src/network/stages.ts";
import {
  columnsTogether,
  type Fetched,
  type Fours,
  fetchedParts,
  type ReverseMemory,
  rowsTogether,
} from "./reverse-memory.ts";
import { moving, remainder, rowText } from "./tile-memory.ts";
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

/** Kernels' functions: each text once, by name. */
export class SharedFunctions {
  readonly #names = new Map<string, string>();

  /** The name of a function with these parameters and this body. */
  name(parameters: readonly string[], body: string): string {
    const text = `(${parameters.join(", ")}) {\n${body}\n}`;
    const name = this.#names.get(text) ?? `gradient${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }

  get text(): string {
    return [...this.#names].map(([text, name]) => `fn ${name}${text}`).join("\n\n");
  }
}

/**
 * Statements that sum the gradient of a matrix over the columns of a tile, ∂W[o][i] = Σ_q c[o][q] h[i][q], and of a bias or another
 * vector, Σ_q c[o][q], and put them into the segment's partial sums. Of tangents there is a sum for each, and with those of the values
 * they are one. An invocation has a few rows of either side in registers, which lie together. Products of the same size are one function.
 * `adds`: a condition, whether there are partial sums already. In scope: pf_local, pf_segment, jb, q, base.
 */
export function gradientText(
  made: Schedule,
  memory: ReverseMemory,
  tiling: Tiling,
  tensorAt: (tensor: string) => TensorPlace,
  stages: readonly GradientStage[],
  adds: string,
  functions: SharedFunctions,
): string {
  const [stage] = stages as [GradientStage];
  const { tensor, outputs, matrix } = stage.gradient;
  const each = stages.flatMap(({ gradient }) => memory.sets(gradient.batched).map((s) => ({ gradient, s })));
  const cotangents = each.map(({ gradient, s }) => memory.rowIn(placeOf(made, gradient.cotangent), s));
  const vector = matrix ? matrix.bias : tensor;
  // a bias has no tangents
  const ofVector = matrix ? cotangents.slice(0, 1) : cotangents;
  const sums =
    vector === undefined ? "" : vectorText(memory, tiling, tensorAt(vector), { rows: outputs, starts: ofVector }, adds);
  if (!matrix) return sums;
  const { offset, rowLength } = tensorAt(tensor);
  const terms = each.map(({ gradient, s }, i): Term => {
    const from = placeOf(made, must(gradient.matrix, "what a product takes").of);
    const { start, fetched } = memory.inputsOf(stage, from, s);
    return { inputs: start, cotangents: item(cotangents, i), fetched };
  });
  const runs = runsOf(terms);
  const parts = terms.every(({ fetched }) => fetched) ? fetchedParts(tiling, matrix.inputs) : 1;
  const inputs = matrix.inputs / parts;
  const body = productText(memory, tiling, { inputs, outputs, rowLength }, runs);
  const first = runs.flatMap((run, i) =>
    starts.flatMap((name) =>
      run.slice(0, 2).flatMap((term, j) => {
        const start = startOf(term, name);
        return start === undefined ? [] : [{ name: `${name}${i}_${j}`, fours: Math.floor(start / rowsTogether) }];
      }),
    ),
  );
  const words = ["pf_local", "pf_segment", "jb", "q"];
  const name = functions.name(
    [...words, "at", ...first.map(({ name }) => name)].map((word) => `${word}: u32`).concat("adds: bool"),
    body,
  );
  const at = `base + ${offset + matrix.from}u`;
  if (parts === 1) {
    const given = [...words, at, ...first.map(({ fours }) => `${fours}u`), adds];
    return `${name}(${given.join(", ")});\n${sums}`;
  }
  const ofPart = first.map(({ name, fours }) =>
    name.startsWith("fetched") ? `${fours}u + part * ${inputs / rowsTogether}u` : `${fours}u`,
  );
  // a loop, since a compiler writes a function wherever it is called
  return `for (var part = 0u; part < ${parts}u + pf_params.zero; part++) {
workgroupBarrier();
${name}(${[...words, `${at} + part * ${inputs}u`, ...ofPart, adds].join(", ")});
}
${sums}`;
}

/** First rows of the two sides of a product of the sum, and from where its inputs are brought back to the tile. */
interface Term {
  readonly inputs: number;
  readonly cotangents: number;
  readonly fetched: Fetched | undefined;
}

const starts = ["inputs", "cotangents", "fetched"] as const;
const startOf = (term: Term, name: (typeof starts)[number]) => (name === "fetched" ? term.fetched?.start : term[name]);

/** Terms that follow each other and are one loop: from the second one on, their rows are the same number apart. */
function runsOf(terms: readonly Term[]): Term[][] {
  const runs: Term[][] = [];
  const follows = (run: readonly Term[], term: Term) =>
    term.fetched?.isKept === run[0]?.fetched?.isKept &&
    starts.every((name) => {
      const [first, second, ...others] = [...run, term].map((term) => startOf(term, name) ?? 0) as [number, number];
      const step = strideOf([...run, term], name);
      return (
        (first - second) % rowsTogether === 0 &&
        step % rowsTogether === 0 &&
        others.every((start, i) => start === second + (i + 1) * step)
      );
    });
  for (const term of terms) {
    const run = runs.at(-1);
    if (run && follows(run, term)) run.push(term);
    else runs.push([term]);
  }
  return runs;
}

/** Rows from the second term of a run to the third. */
function strideOf([, second, third]: readonly Term[], name: (typeof starts)[number]): number {
  return second && third ? (startOf(third, name) ?? 0) - (startOf(second, name) ?? 0) : 0;
}

const fewest = (rows: number, most: number) => [1, 2, 4, 8].find((size) => size >= rows || size === most) ?? most;

/** The sum of the products of some runs of terms. In scope: at, adds, and of each run i the first rows of its terms 0 and 1 in fours, inputs{i}_0 … */
function productText(
  memory: ReverseMemory,
  tiling: Tiling,
  size: { readonly inputs: number; readonly outputs: number; readonly rowLength: number },
  runs: readonly (readonly Term[])[],
): string {
  const { columns, blocks: invocationsOfColumn } = tileSizes(tiling);
  // neighbours write neighbours where inputs are the longer side
  const isAlongOutputs = size.outputs > size.inputs;
  const [long, short] = isAlongOutputs ? [size.outputs, size.inputs] : [size.inputs, size.outputs];
  let longRows = fewest(long, 4);
  let shortRows = fewest(Math.ceil((long * short) / longRows / tiling.workgroupSize), mostRows);
  // what is read twice as often costs more than invocations without work, as long as whole subgroups have none
  const invocations = () => Math.ceil(long / longRows) * Math.ceil(short / shortRows);
  while (invocations() >= 2 * subgroup && Math.min(longRows, shortRows) < mostRows)
    if (longRows > shortRows) shortRows *= 2;
    else longRows *= 2;
  const lanes = Math.min(mostLanes, 2 ** Math.ceil(Math.log2(Math.ceil(long / longRows))));
  const { workgroupSize } = tiling;
  const groups = workgroupSize / lanes;
  // others of a workgroup's subgroups work in the next one, since those of one number share a part of a processor
  const busy = subgroup * Math.ceil((lanes * Math.ceil(short / shortRows)) / subgroup);
  const worker = 2 * busy > workgroupSize ? "pf_local" : remainder(`(pf_local + pf_segment * ${busy}u)`, workgroupSize);
  const isFetched = runs.some(([term]) => term?.fetched);
  const isOne = runs.length === 1 && runs[0]?.length === 1;
  const fetchesBetween = isFetched && !isOne;
  const ofRun = (run: readonly Term[], i: number) => {
    const [term] = run as [Term];
    const place = (name: (typeof starts)[number]): Fours => ({
      fours: run.length === 1 ? `${name}${i}_0` : name,
      rest: (startOf(term, name) ?? 0) % rowsTogether,
    });
    const own = (of: string, rows: number, from: Fours, name: string, c: number) =>
      lines(rows, (r) => `let ${name}${r} = ${memory.rowsOf("k", c, from, moving(of, rows, r))};`);
    const [ofLong, ofShort] = isAlongOutputs
      ? [place("cotangents"), place("inputs")]
      : [place("inputs"), place("cotangents")];
    const column = (c: number) => `{
${own("along", longRows, ofLong, "h", c)}
${own("across", shortRows, ofShort, "c", c)}
${lines(shortRows, (r) => lines(longRows, (j) => `s${r}_${j} = fma(c${r}, h${j}, s${r}_${j});`))}
}`;
    const summed = `for (var k = 0u; k < ${columns / columnsTogether}u + pf_params.zero; k++) {
${lines(columnsTogether, column)}
}`;
    const fetch =
      term.fetched &&
      `for (var row = jb; row < ${Math.ceil(size.inputs / rowsTogether)}u; row += ${invocationsOfColumn}u) {
${lines(rowsTogether, (r) => memory.fetch(place("inputs"), { ...place("fetched"), isKept: term.fetched?.isKept === true }, moving("row", rowsTogether, r)))}
}
workgroupBarrier();`;
    const text = fetchesBetween ? `${fetch ?? ""}\nif (works) {\n${summed}\n}\nworkgroupBarrier();` : `{\n${summed}\n}`;
    if (run.length === 1) return { text, fetch };
    const names = starts.filter((name) => startOf(term, name) !== undefined);
    const now = names.map((name) => {
      const stride = strideOf(run, name) / rowsTogether;
      return `let ${name} = select(${name}${i}_1 + (term - 1u) * ${stride}u, ${name}${i}_0, term == 0u);`;
    });
    // the bound is a number that no compiler knows, so that none unrolls the loop
    return {
      text: `for (var term = 0u; term < ${run.length}u + pf_params.zero; term++) {\n${now.join("\n")}\n${text}\n}`,
      fetch,
    };
  };
  const made = runs.map(ofRun);
  const sums = made.map(({ text }) => text).join("\n");
  const place = (output: string, input: string) => `at + ${output} * ${size.rowLength}u + ${input}`;
  const stores = lines(longRows, (j) => {
    const row = rowText(moving("along", longRows, j));
    const each = (text: (sum: string, place: string) => string) =>
      lines(shortRows, (r) => {
        const other = rowText(moving("across", shortRows, r));
        const at = isAlongOutputs ? place(`(${row})`, `(${other})`) : place(`(${other})`, `(${row})`);
        const put = text(`s${r}_${j}`, `pf_partials[${at}]`);
        return short % shortRows === 0 ? put : `if (${other} < ${short}u) { ${put} }`;
      });
    // a branch for some sums: one for each keeps a compiler busy, and one for all takes as many registers again
    const own = `if (adds) {
${each((sum, place) => `${sum} += ${place};`)}
}
${each((sum, place) => `${place} = ${sum};`)}`;
    return long % (lanes * longRows) === 0 ? own : `if (${row} < ${long}u) {\n${own}\n}`;
  });
  const begin = lines(shortRows, (r) => lines(longRows, (j) => `var s${r}_${j} = 0.0;`));
  const blocks = Math.ceil(short / shortRows);
  const end = lanes * Math.ceil(long / (lanes * longRows));
  if (fetchesBetween)
    // one is fetched after the other, to the same rows: all invocations go through the same turns
    return `let worker = ${worker};
for (var first = 0u; first < ${end}u; first += ${lanes}u) {
for (var block = 0u; block < ${groups * Math.ceil(blocks / groups)}u; block += ${groups}u) {
let along = first + ${remainder("worker", lanes)};
let across = block + worker / ${lanes}u;
let works = across < ${blocks}u;
${begin}
${sums}
if (works) {
${stores}
}
}
}`;
  const body = `${begin}\n${sums}\n${stores}`;
  const across =
    blocks > groups
      ? `for (var across = worker / ${lanes}u; across < ${blocks}u; across += ${groups}u) {\n${body}\n}`
      : `let across = worker / ${lanes}u;\nif (across < ${blocks}u) {\n${body}\n}`;
  const all =
    end === lanes
      ? `{\nlet along = ${remainder("worker", lanes)};\n${across}\n}`
      : `for (var along = ${remainder("worker", lanes)}; along < ${end}u; along += ${lanes}u) {\n${across}\n}`;
  return `${item(made, 0).fetch ?? ""}\nlet worker = ${worker};\n${all}`;
}

/** Sums of the rows of the cotangents: an invocation has one of them. */
function vectorText(
  memory: ReverseMemory,
  tiling: Tiling,
  { offset }: TensorPlace,
  { rows, starts }: { readonly rows: number; readonly starts: readonly number[] },
  adds: string,
): string {
  const { columns } = tileSizes(tiling);
  const sum = (c: number) =>
    starts
      .map((start) => {
        const first = { fours: `${Math.floor(start / rowsTogether)}u`, rest: start % rowsTogether };
        return `sum${c % 4} += ${memory.rowsOf("k", c, first, moving("own"))};`;
      })
      .join(" ");
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
