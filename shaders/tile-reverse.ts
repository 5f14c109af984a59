import { item, must } from "../src/must.ts";
import { reverse, tangentOfX, withTangents } from "../src/network/derivatives.ts";
import type { Network } from "../src/network/network.ts";
import type { RowFunction } from "../src/network/program.ts";
import { schedule } from "../src/network/schedule.ts";
import { type GradientStage, type Place, type Schedule, wholeBuffer } from "../src/network/stages.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { columnsTogether, ReverseMemory, reverseGroups, rowsTogether } from "./reverse-memory.ts";
import { fractionText, inverseRoot, rowFunctions } from "./row-functions.ts";
import { stageTable } from "./stage-table.ts";
import { Emitter } from "./tile-emitter.ts";
import { tileEntry, tileExtensions } from "./tile-entry.ts";
import { gradientText, SharedFunctions } from "./tile-gradient.ts";
import { moving } from "./tile-memory.ts";
import { type TilePacking, tilePackingOf } from "./tile-packing.ts";
import { type Tiling, tileSizes } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/**
 * A pass of a likelihood's gradient: of κ·u + Σ_s w_s·(∂u/∂x v_s) by x and the weights, and by v_s where each particle has a matrix of
 * tangents of its own; those of a trace are unit vectors or probes v_s, and w_s = δ v_s.
 */
export interface PassWork {
  readonly tangents: number;
  readonly kind: "basis" | "probes" | "matrix";
  /** Whether only what the pass has in front is asked for: the velocity, and behind it the products of ∂u/∂x with a matrix. */
  readonly forward?: boolean;
  /** Whether there are also penalties, of |u|² and, but for a matrix, of each |∂u/∂x v_s|². */
  readonly penalised?: boolean;
}

/** What a kernel finds of a network: flow matching's loss alone, or with its gradient; its velocity and Jᵀ·w, the gradient of w·u by x; or a pass. */
export type ReverseWork = "squares" | "matching" | "product" | PassWork;

/** The reverse that a pass has, with any number of tangents. */
type PassKind = "without tangents" | "trace" | "matrix";
const passKind = ({ tangents, kind }: PassWork): PassKind =>
  tangents === 0 ? "without tangents" : kind === "matrix" ? "matrix" : "trace";

const isForward = (work: ReverseWork) => typeof work !== "string" && work.forward === true;

/** Whether the velocity is wanted, and the products of ∂u/∂x with the tangents. */
const tellsVelocity = (work: ReverseWork) => typeof work === "string" || work.forward || work.penalised === true;
const tellsProducts = (work: ReverseWork) =>
  typeof work !== "string" &&
  work.tangents > 0 &&
  (work.forward || (work.penalised === true && work.kind !== "matrix"));

/** A network and, behind it, the gradient of what is made of its velocity. */
export class ReverseNetwork {
  readonly dim: number;
  readonly inputs: number;
  readonly #network: Network;
  readonly #key: string;
  readonly #schedules = new Map<string, Schedule>();

  constructor(network: Network) {
    const { dim, classes, context } = network;
    this.#network = network;
    this.dim = dim;
    // x, t, the one-hot label, the context: the rows in which batches are drawn
    this.inputs = dim + 1 + classes + context;
    this.#key = JSON.stringify([dim, classes, context, network.tensors, network.program.steps]);
  }

  /** The steps in the order of a kernel: forward, and the reverse behind it where there is one. */
  scheduled(work: ReverseWork): Schedule {
    const pass = typeof work === "string" ? undefined : passKind(work);
    const forwardOnly = isForward(work);
    const key = pass ? [pass, forwardOnly, tellsVelocity(work)].join() : (work as string);
    const known = this.#schedules.get(key);
    if (known) return known;
    const { dim, classes, program: forward, output: velocity } = this.#network;
    const at = { x: 0, t: dim, label: dim + 1, context: dim + 1 + classes };
    const inputs = new Map<string, Place>(
      Object.entries(at).map(([name, row]) => [name, { buffer: "inputs", row, rows: this.inputs }]),
    );
    for (const name of ["ubar", "dtop", tangentOfX]) inputs.set(name, wholeBuffer(name, dim));
    const made = pass === "trace" || pass === "matrix" ? withTangents(forward, velocity) : undefined;
    const { program, output } = made ?? { program: forward.copy(), output: velocity };
    const hasReverse = work !== "squares" && !forwardOnly;
    const cotangents = hasReverse ? [{ of: output, cotangent: program.input("ubar", dim) }] : [];
    if (made && hasReverse) cotangents.push({ of: made.tangent, cotangent: program.input("dtop", dim, true) });
    const isProduct = work === "product";
    const wanted = isProduct || (pass && hasReverse) ? ["x", ...(pass === "matrix" ? [tangentOfX] : [])] : [];
    const back = reverse(program, cotangents, wanted, !isProduct);
    const outputs = tellsVelocity(work) ? [{ value: output, place: wholeBuffer("u", dim) }] : [];
    if (made && tellsProducts(work)) outputs.push({ value: made.tangent, place: wholeBuffer("jv", dim) });
    for (const [input, buffer] of [
      ["x", "xbar"],
      [tangentOfX, "dxbar"],
    ] as const) {
      if (!wanted.includes(input)) continue;
      const value = must(back.inputs.get(input), `the gradient of a velocity by ${input}`);
      outputs.push({ value, place: wholeBuffer(buffer, dim) });
    }
    const scheduled = schedule(program, {
      inputs,
      outputs,
      gradients: back.gradients,
      lateInputs: ["ubar", "dtop"],
      bindings: Number.POSITIVE_INFINITY,
      prefix: "r",
      inPlace: true,
      ...(made && { joins: true }),
    });
    this.#schedules.set(key, scheduled);
    return scheduled;
  }

  /** What kernels are cached by. */
  toJSON(): string {
    return this.#key;
  }

  /** The flat order of the parameters. */
  tensor(name: string): { readonly offset: number; readonly rowLength: number } {
    const { offset, shape } = must(
      this.#network.tensors.find((tensor) => tensor.name === name),
      `the tensor "${name}" of a network`,
    );
    return { offset, rowLength: shape[1] ?? 1 };
  }

  /** The widest product. */
  widest(work: ReverseWork): number {
    const { steps } = this.scheduled(work).program;
    return Math.max(1, ...steps.map((step) => (step.kind === "linear" ? step.width : 1)));
  }

  /** Where the weights are: flow matching's, which are the same without the gradient, or those of a product, or of passes with tangents and without. */
  packing(tiling: Tiling, work: ReverseWork): TilePacking {
    const works: ReverseWork[] =
      typeof work === "string"
        ? [work === "squares" ? "matching" : work]
        : [
            { tangents: 0, kind: work.kind },
            { tangents: 1, kind: work.kind },
          ];
    return tilePackingOf(
      works.map((work) => this.scheduled(work).program),
      tiling,
      true,
    );
  }

  /** Where the values lie, and who writes the stages of the schedule. */
  texts(tiling: Tiling, work: ReverseWork): { readonly memory: ReverseMemory; readonly emitter: Emitter } {
    const made = this.scheduled(work);
    const rows = this.dim;
    const tangents = typeof work === "string" ? 0 : work.tangents;
    const each = { rows, batched: true };
    const fixed = {
      inputs: { rows: this.inputs },
      ...(tellsVelocity(work) && { u: { rows } }),
      ...(!isForward(work) && { ubar: { rows } }),
      ...((work === "product" || typeof work !== "string") && !isForward(work) ? { xbar: { rows } } : {}),
      ...(tellsProducts(work) && { jv: each }),
      ...(tangents > 0 && { [tangentOfX]: each, ...(!isForward(work) && { dtop: each }) }),
      ...(typeof work !== "string" && passKind(work) === "matrix" && !isForward(work) && { dxbar: each }),
    };
    const memory = new ReverseMemory(made, tiling, tangents, fixed);
    return {
      memory,
      emitter: new Emitter({ classes: 0 }, made, tiling, undefined, this.packing(tiling, work), memory, {
        apart: true,
      }),
    };
  }

  /** Functions of rows. */
  declarations(work: ReverseWork): string {
    const functions = this.scheduled(work).program.steps.flatMap((step): RowFunction[] =>
      step.kind === "map" ? [step.function] : [],
    );
    return `${rowFunctions([{ results: functions.map((f) => ({ function: f })) }], "f32")}
${inverseRoot("f32")}
${fractionText("f32")}`;
  }
}

/** Stages at most that are written one behind the other: of more of them a text takes long to compile. */
const mostWritten = 40;

/** Rows of a column, in fours: an odd number of them, so that what neighbours read lies in different banks. */
const columnFours = (rows: number) => Math.ceil(rows / rowsTogether) | 1;

/** Bytes of workgroup memory that the kernel takes, and rows of the scratch that it keeps for a workgroup. */
export function reverseSizes(
  network: ReverseNetwork,
  tiling: Tiling,
  work: ReverseWork,
): { readonly bytes: number; readonly kept: number } {
  const { memory, emitter } = network.texts(tiling, work);
  const { rows } = emitter;
  return { bytes: 4 * rowsTogether * tileSizes(tiling).columns * columnFours(rows), kept: memory.keptRows };
}

/** Params of every kernel of this file. A workgroup has the tiles of its segment. */
const params = {
  stride: "u32",
  zero: "u32",
  tiles: "u32",
  segment_tiles: "u32",
  segment: "u32",
} as const;

/** The scratch that a workgroup keeps for itself, where it keeps something. */
const keptBuffer = (columns: number, { keptRows }: ReverseMemory) =>
  keptRows > 0 && write(`array<array<array<array<f32, ${rowsTogether}>, ${columns}>, ${keptRows / rowsTogether}>>`);

/** The texts of the stages, each with the barrier behind it: forward, and in reverse. */
function stageTexts(
  network: ReverseNetwork,
  tiling: Tiling,
  work: ReverseWork,
  { memory, emitter }: { readonly memory: ReverseMemory; readonly emitter: Emitter },
): { readonly early: readonly string[]; readonly late: readonly string[]; readonly functions: SharedFunctions } {
  const made = network.scheduled(work);
  const early: string[] = [];
  const late: string[] = [];
  const functions = new SharedFunctions();
  let number = 0;
  const begun = new Set<string>();
  for (const group of reverseGroups(made)) {
    const stage = item(group, 0);
    memory.now = number;
    let text: string;
    if (stage.kind === "gradient") {
      // values come first, and begin the sums of all that their tangents add to
      const { tensor, matrix } = stage.gradient;
      // which no compiler knows: it would load all that is added to at once
      const key = stage.gradient.batched || begun.has(`${tensor} ${matrix?.from}`) ? "pf_params.zero == 0u" : "adds";
      begun.add(`${tensor} ${matrix?.from}`);
      const stages = group as GradientStage[];
      text = `{\n${gradientText(made, memory, tiling, (name) => network.tensor(name), stages, key, functions)}\n}\nworkgroupBarrier();`;
    } else text = emitter.group(group);
    (number < made.late ? early : late).push(text);
    number += group.length;
  }
  return { early, late, functions };
}

/** The tables of the stages, forward and in reverse, for kernels of so many that these are no text each. */
const stageTables = (early: readonly string[], late: readonly string[]) =>
  [stageTable(early, "pf_early"), stageTable(late, "pf_late")] as const;

/** How many stages of such a kernel have a text of their own, each of which takes its time to compile. */
export function reverseTexts(network: ReverseNetwork, tiling: Tiling, work: ReverseWork): number {
  const { stages } = network.scheduled(work);
  if (stages.length <= mostWritten) return stages.length;
  const { early, late } = stageTexts(network, tiling, work, network.texts(tiling, work));
  return stageTables(early, late).reduce((sum, { kinds }) => sum + kinds, 0);
}

/**
 * A kernel that takes the tiles of a segment one after the other: the inputs, the network forward, what is between, the network in reverse,
 * as the schedule of its program says, and what comes behind. In scope of these: q and jb; p, the particle, and at0, one that there is;
 * `adds`, whether this is not the first tile of the segment.
 */
function segmentsText(
  { network, tiling }: { readonly network: ReverseNetwork; readonly tiling: Tiling },
  work: ReverseWork,
  { memory, emitter }: { readonly memory: ReverseMemory; readonly emitter: Emitter },
  own: {
    readonly before: string;
    /** Beside the inputs. */
    readonly first?: (memory: ReverseMemory) => string;
    readonly between: (memory: ReverseMemory) => string;
    readonly behind: (memory: ReverseMemory) => string;
  },
): string {
  const made = network.scheduled(work);
  const { columns, blocks } = tileSizes(tiling);
  const keeps = memory.keptRows > 0;
  const { early, late, functions } = stageTexts(network, tiling, work, { memory, emitter });
  memory.now = 0;
  const first = own.first?.(memory) ?? "";
  memory.now = made.late;
  const between = own.between(memory);
  memory.now = made.stages.length;
  const behind = own.behind(memory);
  const tables = made.stages.length > mostWritten ? stageTables(early, late) : undefined;
  const [forward, back] = tables?.map(({ text }) => text) ?? [early.join("\n"), late.join("\n")];
  return `${network.packing(tiling, work).text}
// values [column][row], both in fours
var<workgroup> pf_tile: array<array<array<array<f32, ${rowsTogether}>, ${columnFours(memory.rows)}>, ${columnsTogether}>, ${columns / columnsTogether}>;
${network.declarations(work)}
${functions.text}
${tables?.map(({ declaration }) => declaration).join("\n") ?? ""}

${tileEntry(
  tiling,
  "reverse",
  "",
  `let pf_segment = pf_group.x + pf_params.segment;
${own.before}
let last = min(pf_params.tiles, (pf_segment + 1u) * pf_params.segment_tiles);
for (var number = pf_segment * pf_params.segment_tiles; number < last; number++) {
let adds = ${typeof work === "string" || work.forward ? "" : "pf_params.adds != 0u || "}number > pf_segment * pf_params.segment_tiles;
let p = number * ${columns}u + q;
// surplus columns repeat the last particle and count nothing
let at0 = min(p, pf_params.stride - 1u);
let jz = jb + number * pf_params.zero;
${
  tables && memory.rows >= 4 * blocks + memory.fixedRows
    ? `// compilers find where a column is once, for all stages: rows that nothing is in
${memory.cell(memory.fixedRows, moving("jb", rowsTogether))} = 0.0;`
    : ""
}
${
  keeps
    ? `// what was kept of the tile before has been read
storageBarrier();`
    : ""
}
for (var row = jb; row < ${network.inputs}u; row += ${blocks}u) {
${memory.write(wholeBuffer("inputs", network.inputs), moving("row"), 0, "pf_inputs[row * pf_params.stride + at0]")}
}
${first}
workgroupBarrier();
${forward}
${between}
${keeps ? "storageBarrier();" : ""}
workgroupBarrier();
${back}
${behind}
}`,
)}`;
}

export interface ReverseShape {
  readonly network: ReverseNetwork;
  readonly tiling: Tiling;
  /** Whether the loss is weighted by the row behind the targets. */
  readonly weighted: boolean;
  /** Whether the gradient is asked for; else the network goes forward only. */
  readonly trains: boolean;
}

/** What all kernels of this file declare alike. */
const entryOf = (tiling: Tiling) => ({ entryPoint: "reverse", enable: tileExtensions(tiling), prefix: "pf_" }) as const;

/**
 * Flow matching's loss and its gradient on tiles of particles: the network forward, the residual, and back through its layers; a workgroup
 * has a segment of the batch, whose partial gradient it leaves in "partials". See {@link ReverseMemory} for where values lie.
 */
export const reverseKernel = oncePerShape((shape: ReverseShape) => {
  const { network, tiling, weighted, trains } = shape;
  const { dim } = network;
  const { columns } = tileSizes(tiling);
  const work = trains ? "matching" : "squares";
  const texts = network.texts(tiling, work);
  const code = segmentsText(shape, work, texts, {
    before: trains ? "let base = pf_segment * pf_params.parameters;" : "",
    between: (memory) => `if (jb == 0u) {
let weight = ${weighted ? `pf_targets[${dim}u * pf_params.stride + at0]` : "1.0"};
var sum = 0.0;
for (var i = 0u; i < ${dim}u + pf_params.zero; i++) {
let r = select(0.0, ${memory.read(wholeBuffer("u", dim), moving("i"), 0)} - pf_targets[i * pf_params.stride + at0], p < pf_params.count);
${trains ? memory.write(wholeBuffer("ubar", dim), moving("i"), 0, "pf_params.scale * (weight * r)") : ""}
sum = fma(r, r, sum);
}
if (p < pf_params.stride) { pf_squares[p] = weight * sum; }
}`,
    behind: () => "",
  });
  return kernel({
    label: `flow matching ${trains ? "and its gradient" : "forward"}, tile of ${columns}${weighted ? ", weighted" : ""}`,
    ...entryOf(tiling),
    params: { ...params, count: "u32", parameters: trains && "u32", scale: trains && "f32" },
    buffers: {
      weights: read("PfWeights"),
      inputs: read("array<f32>"),
      targets: read("array<f32>"),
      squares: write("array<f32>"),
      partials: trains && write("array<f32>"),
      kept: keptBuffer(columns, texts.memory),
    },
    code: wgsl`${code}`,
  });
});

/** Statements for each of some rows i, which the invocations of a column share. */
const perRow = (rows: number, tiling: Tiling, text: string) =>
  `for (var i = jb; i < ${rows}u; i += ${tileSizes(tiling).blocks}u) {\n${text}\n}`;

/** The velocity and Jᵀ·w on tiles of particles: the network forward, and back through its layers with the cotangent w. */
export const productKernel = oncePerShape((shape: Pick<ReverseShape, "network" | "tiling">) => {
  const { network, tiling } = shape;
  const { dim } = network;
  const { columns } = tileSizes(tiling);
  const texts = network.texts(tiling, "product");
  const rows = (text: string) => perRow(dim, tiling, text);
  const at = (name: string) => `pf_${name}[i * pf_params.stride + at0]`;
  const place = (name: string) => wholeBuffer(name, dim);
  const stored = (memory: ReverseMemory, name: string, from: string) =>
    rows(`if (p < pf_params.stride) { ${at(name)} = ${memory.read(place(from), moving("i"), 0)}; }`);
  const code = segmentsText(shape, "product", texts, {
    before: "",
    between: (memory) => `${stored(memory, "velocity", "u")}
${rows(memory.write(place("ubar"), moving("i"), 0, at("cotangent")))}`,
    behind: (memory) => stored(memory, "product", "xbar"),
  });
  return kernel({
    label: `velocity and transposed product, tile of ${columns}`,
    ...entryOf(tiling),
    params,
    buffers: {
      weights: read("PfWeights"),
      inputs: read("array<f32>"),
      cotangent: read("array<f32>"),
      velocity: write("array<f32>"),
      product: write("array<f32>"),
      kept: keptBuffer(columns, texts.memory),
    },
    code: wgsl`${code}`,
  });
});

/** What a pass has in front, alone (see {@link PassWork}): the velocity, and behind it the products with a matrix, [tangents][dim]. */
export const velocityKernel = oncePerShape(
  ({ network, tiling, work }: { network: ReverseNetwork; tiling: Tiling; work: PassWork & { forward: true } }) => {
    const { dim } = network;
    const { tangents } = work;
    const texts = network.texts(tiling, work);
    const { columns } = tileSizes(tiling);
    const at = (name: string, set: number) => `pf_${name}[(${set}u * ${dim}u + i) * pf_params.stride + at0]`;
    const rows = (text: string) => perRow(dim, tiling, text);
    const sets = (text: (s: number) => string) => lines(tangents, (s) => text(s + 1));
    const place = (name: string) => wholeBuffer(name, dim);
    const code = segmentsText({ network, tiling }, work, texts, {
      before: "",
      first: (memory) =>
        tangents === 0 ? "" : rows(sets((s) => memory.write(place(tangentOfX), moving("i"), s, at("matrix", s - 1)))),
      between: (memory) =>
        rows(`if (p < pf_params.stride) {
${at("velocity", 0)} = ${memory.read(place("u"), moving("i"), 0)};
${sets((s) => `${at("velocity", s)} = ${memory.read(place("jv"), moving("i"), s)};`)}
}`),
      behind: () => "",
    });
    return kernel({
      label: `velocity${tangents > 0 ? ` and ${tangents} products` : ""}, tile of ${columns}`,
      ...entryOf(tiling),
      params,
      buffers: {
        weights: read("PfWeights"),
        inputs: read("array<f32>"),
        matrix: tangents > 0 && read("array<f32>"),
        velocity: write("array<f32>"),
        kept: keptBuffer(columns, texts.memory),
      },
      code: wgsl`${code}`,
    });
  },
);

/**
 * A pass of a likelihood's gradient on tiles of particles (see {@link PassWork}): the network with its tangents forward, and all of it in
 * reverse. Cotangents: κ, and behind it those of a matrix, [tangents][dim]; the gradients by x and by the matrix go to the same places.
 */
export const passKernel = oncePerShape(
  ({ network, tiling, work }: { network: ReverseNetwork; tiling: Tiling; work: PassWork }) => {
    const { dim } = network;
    const { tangents, kind } = work;
    const { columns } = tileSizes(tiling);
    const texts = network.texts(tiling, work);
    const at = (name: string, set: string) => `pf_${name}[(${set} * ${dim}u + i) * pf_params.stride + at0]`;
    const rows = (text: string) => perRow(dim, tiling, text);
    const sets = (text: (s: number) => string) => lines(tangents, (s) => text(s + 1));
    const isMatrix = kind === "matrix" && tangents > 0;
    const isProbes = kind === "probes" && tangents > 0;
    const isTrace = !isMatrix && tangents > 0;
    const { penalised = false } = work;
    const tangent = (s: number) => {
      if (isMatrix) return at("matrix", `${s - 1}u`);
      const number = `(pf_params.first + ${s - 1}u)`;
      return isProbes ? at("probes", number) : `select(0.0, 1.0, i == ${number})`;
    };
    const place = (name: string) => wholeBuffer(name, dim);
    const code = segmentsText({ network, tiling }, work, texts, {
      before: "let base = pf_segment * pf_params.parameters;",
      first: (memory) =>
        tangents === 0 ? "" : rows(sets((s) => memory.write(place(tangentOfX), moving("i"), s, tangent(s)))),
      between: (memory) => {
        const top = (s: number) => (isMatrix ? at("cotangent", `${s}u`) : `weight * ${tangent(s)}`);
        const value = (name: string, s: number, i = "i") => memory.read(place(name), moving(i), s);
        const more = (text: string, name: "u" | "jv", s: number) =>
          penalised && (name === "u" || isTrace) ? `fma(${name}_twice, ${value(name, s)}, ${text})` : text;
        const squared = (name: "u" | "jv", s: number) =>
          `{ let v = ${value(name, s, "k")}; sum = fma(pf_params.${name === "u" ? "energy" : "jacobian"} * v, v, sum); }`;
        const row = isMatrix ? dim * (1 + tangents) : dim;
        return `${isTrace ? "let weight = select(0.0, pf_params.weight, p < pf_params.count);" : ""}
${penalised ? "let u_twice = select(0.0, pf_params.twice * pf_params.energy, p < pf_params.count);" : ""}
${penalised && isTrace ? "let jv_twice = select(0.0, pf_params.twice * pf_params.jacobian, p < pf_params.count);" : ""}
${rows(`${memory.write(place("ubar"), moving("i"), 0, more(at("cotangent", "0u"), "u", 0))}
${sets((s) => memory.write(place("dtop"), moving("i"), s, more(top(s), "jv", s)))}`)}
${
  penalised
    ? `if (jb == 0u && p < pf_params.count) {
var sum = 0.0;
for (var k = 0u; k < ${dim}u + pf_params.zero; k++) {
${squared("u", 0)}
${isTrace ? sets((s) => squared("jv", s)) : ""}
}
pf_cotangent[${row}u * pf_params.stride + p] += sum;
}`
    : ""
}`;
      },
      behind: (memory) =>
        rows(`if (p < pf_params.stride) {
${at("xbar", "0u")} = ${memory.read(place("xbar"), moving("i"), 0)};
${isMatrix ? sets((s) => `${at("xbar", `${s}u`)} = ${memory.read(place("dxbar"), moving("i"), s)};`) : ""}
}`),
    });
    return kernel({
      label: `pass of a likelihood's gradient, ${tangents} tangents${tangents > 0 ? ` (${kind})` : ""}${penalised ? " and penalties" : ""}, tile of ${columns}`,
      ...entryOf(tiling),
      params: {
        ...params,
        parameters: "u32",
        adds: "u32",
        count: (isTrace || penalised) && "u32",
        first: isTrace && "u32",
        weight: isTrace && "f32",
        twice: penalised && "f32",
        energy: penalised && "f32",
        jacobian: penalised && isTrace && "f32",
      },
      buffers: {
        weights: read("PfWeights"),
        inputs: read("array<f32>"),
        cotangent: penalised ? write("array<f32>") : read("array<f32>"),
        matrix: isMatrix && read("array<f32>"),
        probes: isProbes && read("array<f32>"),
        xbar: write("array<f32>"),
        partials: write("array<f32>"),
        kept: keptBuffer(columns, texts.memory),
      },
      code: wgsl`${code}`,
    });
  },
);
