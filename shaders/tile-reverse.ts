import { item, must } from "../src/must.ts";
import { reverse } from "../src/network/derivatives.ts";
import type { Network } from "../src/network/network.ts";
import type { RowFunction } from "../src/network/program.ts";
import { schedule } from "../src/network/schedule.ts";
import { grouped, type Place, type Schedule, wholeBuffer } from "../src/network/stages.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { ReverseMemory } from "./reverse-memory.ts";
import { fractionText, inverseRoot, rowFunctions } from "./row-functions.ts";
import { Emitter } from "./tile-emitter.ts";
import { tileEntry, tileExtensions } from "./tile-entry.ts";
import { gradientText, putText } from "./tile-gradient.ts";
import { moving, up } from "./tile-memory.ts";
import { type TilePacking, tilePackingOf } from "./tile-packing.ts";
import { type Tiling, tileSizes } from "./tiling.ts";
import { wgsl } from "./wgsl.ts";

/** What a kernel finds of a network: flow matching's loss alone, or with its gradient; or its velocity and Jᵀ·w, the gradient of w·u by x. */
export type ReverseWork = "squares" | "matching" | "product";

/** A network and, behind it, the gradient of what is made of its velocity. */
export class ReverseNetwork {
  readonly dim: number;
  readonly inputs: number;
  readonly #network: Network;
  readonly #key: string;
  readonly #schedules = new Map<ReverseWork, Schedule>();

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
    const known = this.#schedules.get(work);
    if (known) return known;
    const { dim, classes, program: forward, output } = this.#network;
    const at = { x: 0, t: dim, label: dim + 1, context: dim + 1 + classes };
    const inputs = new Map<string, Place>(
      Object.entries(at).map(([name, row]) => [name, { buffer: "inputs", row, rows: this.inputs }]),
    );
    const program = forward.copy();
    const isProduct = work === "product";
    const cotangents = work === "squares" ? [] : [{ of: output, cotangent: program.input("ubar", dim) }];
    const back = reverse(program, cotangents, isProduct ? ["x"] : [], !isProduct);
    const outputs = [{ value: output, place: wholeBuffer("u", dim) }];
    if (isProduct) {
      const value = must(back.inputs.get("x"), "the gradient by x of a velocity, which depends on x");
      outputs.push({ value, place: wholeBuffer("xbar", dim) });
    }
    const made = schedule(program, {
      inputs: inputs.set("ubar", wholeBuffer("ubar", dim)),
      outputs,
      gradients: back.gradients,
      lateInputs: ["ubar"],
      bindings: Number.POSITIVE_INFINITY,
      prefix: "r",
      inPlace: true,
    });
    this.#schedules.set(work, made);
    return made;
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

  /** Where the weights are: flow matching's, which are the same without the gradient, or those of a product. */
  packing(tiling: Tiling, work: ReverseWork): TilePacking {
    return tilePackingOf([this.scheduled(work === "squares" ? "matching" : work).program], tiling);
  }

  /** Where the values lie, and who writes the stages of the schedule. */
  texts(tiling: Tiling, work: ReverseWork): { readonly memory: ReverseMemory; readonly emitter: Emitter } {
    const made = this.scheduled(work);
    const { dim, inputs } = this;
    const fixed = { inputs, u: dim, ubar: dim, ...(work === "product" && { xbar: dim }) };
    const memory = new ReverseMemory(made, tiling, fixed);
    return {
      memory,
      emitter: new Emitter({ classes: 0 }, made, tiling, undefined, this.packing(tiling, work), memory),
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

/** Vectors of a row of the tile: one more than its columns fill, so that the rows which neighbours read lie in different banks. */
const pitch = (columns: number) => columns / 4 + 1;

/** Bytes of workgroup memory that the kernel takes, and rows of the scratch that it keeps for a workgroup. */
export function reverseSizes(
  network: ReverseNetwork,
  tiling: Tiling,
  work: ReverseWork,
): { readonly bytes: number; readonly kept: number } {
  const { memory, emitter } = network.texts(tiling, work);
  const { rows } = emitter;
  const { columns, unroll } = tileSizes(tiling);
  return { bytes: 16 * pitch(columns) * up(rows, unroll), kept: memory.keptRows };
}

/** Params of every kernel of this file. A workgroup has the tiles of its segment. */
const params = {
  stride: "u32",
  zero: "u32",
  tiles: "u32",
  segment_tiles: "u32",
  segment: "u32",
} as const;

/** The scratch that a workgroup keeps for itself. */
const keptBuffer = (columns: number, memory: ReverseMemory) =>
  write(`array<array<array<f32, ${columns}>, ${Math.max(1, memory.keptRows)}>>`);

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
    readonly between: (memory: ReverseMemory) => string;
    readonly behind: (memory: ReverseMemory) => string;
  },
): string {
  const made = network.scheduled(work);
  const { columns, blocks, unroll } = tileSizes(tiling);
  const keeps = memory.keptRows > 0;
  const early: string[] = [];
  const late: string[] = [];
  let number = 0;
  for (const group of grouped(made)) {
    const stage = item(group, 0);
    memory.now = number;
    const text =
      stage.kind === "gradient"
        ? `{\n${gradientText(made, memory, tiling, (name) => network.tensor(name), stage)}\n}\nworkgroupBarrier();`
        : emitter.group(group);
    (number < made.late ? early : late).push(text);
    number += group.length;
  }
  memory.now = made.late;
  const between = own.between(memory);
  memory.now = made.stages.length;
  const behind = own.behind(memory);
  return `${network.packing(tiling, work).text}
// values [row][column]
var<workgroup> pf_tile: array<array<array<array<f32, 4>, ${pitch(columns)}>, ${unroll}>, ${Math.ceil(memory.rows / unroll)}>;
${network.declarations(work)}
${made.stages.some(({ kind }) => kind === "gradient") ? putText : ""}

${tileEntry(
  tiling,
  "reverse",
  "",
  `let pf_segment = pf_group.x + pf_params.segment;
${own.before}
let last = min(pf_params.tiles, (pf_segment + 1u) * pf_params.segment_tiles);
for (var number = pf_segment * pf_params.segment_tiles; number < last; number++) {
let adds = number > pf_segment * pf_params.segment_tiles;
let p = number * ${columns}u + q;
// surplus columns repeat the last particle and count nothing
let at0 = min(p, pf_params.stride - 1u);
let jz = jb + number * pf_params.zero;
${
  keeps
    ? `// what was kept of the tile before has been read
storageBarrier();`
    : ""
}
for (var row = jb; row < ${network.inputs}u; row += ${blocks}u) {
${memory.write(wholeBuffer("inputs", network.inputs), moving("row"), 0, "pf_inputs[row * pf_params.stride + at0]")}
}
workgroupBarrier();
${early.join("\n")}
${between}
${keeps ? "storageBarrier();" : ""}
workgroupBarrier();
${late.join("\n")}
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
    entryPoint: "reverse",
    enable: tileExtensions(tiling),
    prefix: "pf_",
    params: { ...params, count: "u32", parameters: trains && "u32", scale: trains && "f32" },
    buffers: {
      weights: read("PfWeights"),
      inputs: read("array<f32>"),
      targets: read("array<f32>"),
      squares: write("array<f32>"),
      partials: trains && write("array<f32>"),
      kept: trains && keptBuffer(columns, texts.memory),
    },
    code: wgsl`${code}`,
  });
});

/** The velocity and Jᵀ·w on tiles of particles: the network forward, and back through its layers with the cotangent w. */
export const productKernel = oncePerShape((shape: Pick<ReverseShape, "network" | "tiling">) => {
  const { network, tiling } = shape;
  const { dim } = network;
  const { columns, blocks } = tileSizes(tiling);
  const texts = network.texts(tiling, "product");
  const rows = (text: string) => `for (var i = jb; i < ${dim}u; i += ${blocks}u) {\n${text}\n}`;
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
    entryPoint: "reverse",
    enable: tileExtensions(tiling),
    prefix: "pf_",
    params,
    buffers: {
      weights: read("PfWeights"),
      inputs: read("array<f32>"),
      cotangent: read("array<f32>"),
      velocity: write("array<f32>"),
      product: write("array<f32>"),
      kept: texts.memory.keptRows > 0 && keptBuffer(columns, texts.memory),
    },
    code: wgsl`${code}`,
  });
});
