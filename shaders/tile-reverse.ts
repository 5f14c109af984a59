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

/** A network and, behind it, the gradient of flow matching's loss with respect to its parameters. */
export class ReverseNetwork {
  readonly dim: number;
  readonly inputs: number;
  readonly #network: Network;
  readonly #key: string;
  readonly #schedules = new Map<boolean, Schedule>();

  constructor(network: Network) {
    const { dim, classes, context } = network;
    this.#network = network;
    this.dim = dim;
    // x, t, the one-hot label, the context: the rows in which batches are drawn
    this.inputs = dim + 1 + classes + context;
    this.#key = JSON.stringify([dim, classes, context, network.tensors, network.program.steps]);
  }

  /** The steps in the order of a kernel: forward, and with `trains` the reverse behind it. */
  scheduled(trains: boolean): Schedule {
    const known = this.#schedules.get(trains);
    if (known) return known;
    const { dim, classes, program: forward, output } = this.#network;
    const at = { x: 0, t: dim, label: dim + 1, context: dim + 1 + classes };
    const inputs = new Map<string, Place>(
      Object.entries(at).map(([name, row]) => [name, { buffer: "inputs", row, rows: this.inputs }]),
    );
    const program = forward.copy();
    const cotangents = trains ? [{ of: output, cotangent: program.input("ubar", dim) }] : [];
    const made = schedule(program, {
      inputs: inputs.set("ubar", wholeBuffer("ubar", dim)),
      outputs: [{ value: output, place: wholeBuffer("u", dim) }],
      ...(trains && { gradients: reverse(program, cotangents, [], true).gradients, lateInputs: ["ubar"] }),
      bindings: Number.POSITIVE_INFINITY,
      prefix: "r",
      inPlace: true,
    });
    this.#schedules.set(trains, made);
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
  get widest(): number {
    const { steps } = this.scheduled(true).program;
    return Math.max(1, ...steps.map((step) => (step.kind === "linear" ? step.width : 1)));
  }

  /** Where the weights are, the same with the reverse and without. */
  packing(tiling: Tiling): TilePacking {
    return tilePackingOf([this.scheduled(true).program], tiling);
  }

  /** Where the values lie, and who writes the stages of the schedule. */
  texts(tiling: Tiling, trains: boolean): { readonly memory: ReverseMemory; readonly emitter: Emitter } {
    const made = this.scheduled(trains);
    const memory = new ReverseMemory(made, tiling, { inputs: this.inputs, u: this.dim, ubar: this.dim });
    return { memory, emitter: new Emitter({ classes: 0 }, made, tiling, undefined, this.packing(tiling), memory) };
  }

  /** Functions of rows. */
  get declarations(): string {
    const functions = this.scheduled(true).program.steps.flatMap((step): RowFunction[] =>
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
): { readonly bytes: number; readonly kept: number } {
  const { memory, emitter } = network.texts(tiling, true);
  const { rows } = emitter;
  const { columns, unroll } = tileSizes(tiling);
  return { bytes: 16 * pitch(columns) * up(rows, unroll), kept: Math.max(1, memory.keptRows) };
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
 * Flow matching's loss and its gradient on tiles of particles: the network forward, the residual, and back through its layers, as the
 * schedule of its program says; a workgroup has a segment of the batch, whose partial gradient it leaves in "partials", and goes
 * through it tile after tile. See {@link ReverseMemory} for where values lie.
 */
export const reverseKernel = oncePerShape(({ network, tiling, weighted, trains }: ReverseShape) => {
  const { dim } = network;
  const made = network.scheduled(trains);
  const { columns, blocks, unroll } = tileSizes(tiling);
  const { memory, emitter } = network.texts(tiling, trains);
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
  const u = memory.read(wholeBuffer("u", dim), moving("i"), 0);
  const kept = Math.max(1, memory.keptRows);
  const code = `${network.packing(tiling).text}
// values [row][column]
var<workgroup> pf_tile: array<array<array<array<f32, 4>, ${pitch(columns)}>, ${unroll}>, ${Math.ceil(memory.rows / unroll)}>;
${network.declarations}
${trains ? putText : ""}

${tileEntry(
  tiling,
  "reverse",
  "",
  `let pf_segment = pf_group.x + pf_params.segment;
${trains ? "let base = pf_segment * pf_params.parameters;" : ""}
let last = min(pf_params.tiles, (pf_segment + 1u) * pf_params.segment_tiles);
for (var number = pf_segment * pf_params.segment_tiles; number < last; number++) {
${trains ? "let adds = number > pf_segment * pf_params.segment_tiles;" : ""}
let p = number * ${columns}u + q;
// surplus columns repeat the last particle and count nothing
let at0 = min(p, pf_params.stride - 1u);
let jz = jb + number * pf_params.zero;
${
  trains
    ? `// what was kept of the tile before has been read
storageBarrier();`
    : ""
}
for (var row = jb; row < ${network.inputs}u; row += ${blocks}u) {
${memory.write(wholeBuffer("inputs", network.inputs), moving("row"), 0, "pf_inputs[row * pf_params.stride + at0]")}
}
workgroupBarrier();
${early.join("\n")}
if (jb == 0u) {
let weight = ${weighted ? `pf_targets[${dim}u * pf_params.stride + at0]` : "1.0"};
var sum = 0.0;
for (var i = 0u; i < ${dim}u + pf_params.zero; i++) {
let r = select(0.0, ${u} - pf_targets[i * pf_params.stride + at0], p < pf_params.count);
${trains ? memory.write(wholeBuffer("ubar", dim), moving("i"), 0, "pf_params.scale * (weight * r)") : ""}
sum = fma(r, r, sum);
}
if (p < pf_params.stride) { pf_squares[p] = weight * sum; }
}
${trains ? "storageBarrier();" : ""}
workgroupBarrier();
${late.join("\n")}
}`,
)}`;
  return kernel({
    label: `flow matching ${trains ? "and its gradient" : "forward"}, tile of ${columns}${weighted ? ", weighted" : ""}`,
    entryPoint: "reverse",
    enable: tileExtensions(tiling),
    prefix: "pf_",
    params: {
      stride: "u32",
      count: "u32",
      zero: "u32",
      tiles: "u32",
      segment_tiles: "u32",
      segment: "u32",
      parameters: trains && "u32",
      scale: trains && "f32",
    },
    buffers: {
      weights: read("PfWeights"),
      inputs: read("array<f32>"),
      targets: read("array<f32>"),
      squares: write("array<f32>"),
      partials: trains && write("array<f32>"),
      kept: trains && write(`array<array<array<f32, ${columns}>, ${kept}>>`),
    },
    code: wgsl`${code}`,
  });
});
