import { item } from "../src/must.ts";
import { activationText } from "./activation.ts";
import { blocksWindows, movingInputs, type NarrowMlp, packedSizes } from "./narrow-sizes.ts";
import {
  activationType,
  biasOf,
  biasPart,
  broadcastOf,
  components,
  halfRun,
  isByComponent,
  splat,
  type Tiling,
  vectorType,
} from "./tiling.ts";
import { lines, range } from "./wgsl.ts";

/** Module-scope text: the structure of the packed weights, and the activation. */
export function narrowMlpDeclarations(mlp: NarrowMlp, tiling: Tiling): string {
  if (tiling.space === "windows") return activationText(mlp.activation, vectorType(tiling));
  const isJoined = isByComponent(tiling);
  const { firstBlock, block, blocks, lastBlocks } = packedSizes(mlp, tiling.outputs);
  const four = tiling.half ? "vec4h" : "vec4f";
  return `struct PfWeights {
  first: array<array<${four}, ${firstBlock}>, ${blocks}>,
${mlp.layers > 1 || isJoined ? `  hidden: array<array<${four}, ${block}>, ${blocks * (mlp.layers - 1) + (isJoined ? lastBlocks : 0)}>,\n` : ""}${isJoined ? "" : `  last: array<array<${four}, ${block}>, ${lastBlocks}>,\n`}}
${isJoined ? activationByComponent(mlp.activation) : activationText(mlp.activation, vectorType(tiling))}`;
}

/** The activation's functions on a vec4f, one component after the other. */
function activationByComponent(activation: string): string {
  const all = (text: (c: string) => string) => `vec4f(${components.map(text).join(", ")})`;
  return `${activationText(activation, "f32", "activate_one")}
struct activate_pair { value: vec4f, slope: vec4f }
fn activate(z: vec4f) -> vec4f {
  return ${all((c) => `activate_one(z.${c})`)};
}
fn activate_with_slope(z: vec4f) -> activate_pair {
${components.map((c) => `  let n${c} = activate_one_with_slope(z.${c});`).join("\n")}
  return activate_pair(${all((c) => `n${c}.value`)}, ${all((c) => `n${c}.slope`)});
}`;
}

/** Which tangents go through the network beside the value, and which of their outputs are wanted. */
export interface Tangents {
  readonly count: number;
  /** `basis`: tangent s is the unit vector e_s and only output s of J·e_s is computed. `given`: v{s}_{g}_{i}, all outputs. */
  readonly kind: "basis" | "given";
  /** Text of what says whether their outputs are wanted, where a text can leave them out: see narrow-turns.ts. */
  readonly needed?: string | undefined;
}

/** What writes a narrow mlp: module-scope text, and the text that evaluates it. */
export interface NarrowTexts {
  declarations(mlp: NarrowMlp, tiling: Tiling): string;
  evaluation(mlp: NarrowMlp, tiling: Tiling, tangents?: Tangents): string;
}

/** What stands before the evaluation of a field, the evaluation itself, and whether it is one of the branches of a guided mix. */
export interface EvaluationText {
  readonly before: string;
  readonly evaluate: string;
  readonly mixes: boolean;
}

const noTangents: Tangents = { count: 0, kind: "given" };

/** A place where a block may lie: under which condition, and its vec4 `k` there. */
interface BlockPlace {
  readonly when: string;
  readonly at: (k: string) => string;
}

/**
 * Blocks whose outputs gather in a short row, which then moves into the long one: every number of a row that moves costs a load, a blend
 * and a store, of the long row in every block where there is no short one.
 */
function turnsOf({ width }: NarrowMlp, { outputs }: Tiling, blocks: number): number {
  const moves = (turns: number) => (turns === 1 ? width : turns * outputs + width / turns);
  let best = 1;
  for (let turns = 2; turns < blocks; turns++) if (blocks % turns === 0 && moves(turns) < moves(best)) best = turns;
  return best;
}

/**
 * Text that evaluates the network for the particles of one invocation.
 * In: y{g}_{i} (state), tau{g}_{f} (time features), v{s}_{g}_{i} (tangents, s from 1).
 * Out, declared by the caller: u{g}_{i}, and jv{s}_{g}_{i} (for `basis` only i = s − 1).
 * Sums run over the inputs in ascending order whatever the tiling.
 *
 * With `half`, weights and activations are f16, products of 16 inputs at a time are summed in f16 and those sums in f32; the first
 * layer, biases, activation functions, the state and the time stay f32. Rounding is then about 2⁻¹¹ per activation: the velocity of
 * networks up to width 128 is within 1 % of its largest component (test/gpu/precision.suite.ts).
 */
export function narrowMlpText(mlp: NarrowMlp, tiling: Tiling, tangents: Tangents = noTangents): string {
  const sets = Array.from({ length: 1 + tangents.count }, (_, s) => s);
  const groups = Array.from({ length: tiling.groups }, (_, g) => g);
  const outputs = Array.from({ length: tiling.outputs }, (_, r) => r);
  const { block, blocks, lastBlocks, firstBlock } = packedSizes(mlp, tiling.outputs);
  const v = vectorType(tiling);
  const kept = activationType(tiling);
  const each = (text: (s: number, g: number) => string) =>
    sets.flatMap((s) => groups.map((g) => text(s, g))).join("\n");
  const time = movingInputs(mlp) - mlp.dim;
  const windows = tiling.space === "windows" ? blocksWindows(mlp, tiling.outputs) : undefined;
  /** Blocks of the hidden layers, and the one behind them. */
  const hiddenBlocks = blocks * (mlp.layers - 1);
  const lastBlock = `${hiddenBlocks}u`;
  const isJoined = isByComponent(tiling);
  const turns = tiling.keep === "rotate" ? turnsOf(mlp, tiling, blocks) : 1;

  /** Keeps the activated outputs of block `jb`: tangents are scaled by the slope of the value's activation. Those of the last layer stay as they are. */
  const keep = (mayBeLast = false) =>
    groups
      .flatMap((g) =>
        outputs.flatMap((r) => {
          const text = [];
          if (tangents.count > 0) text.push(`let n0_${g}_${r} = activate_with_slope(a0_${g}_${r});`);
          for (const s of sets) {
            const exact =
              tangents.count === 0
                ? `activate(a0_${g}_${r})`
                : s === 0
                  ? `n0_${g}_${r}.value`
                  : `n0_${g}_${r}.slope * a${s}_${g}_${r}`;
            const own = mayBeLast ? `select(${exact}, a${s}_${g}_${r}, is_last)` : exact;
            const value = tiling.half ? `${kept}(${own})` : own;
            if (tiling.keep === "array") text.push(`o${s}_${g}[jb * ${tiling.outputs}u + ${r}u] = ${value};`);
            else text.push(`let q${s}_${g}_${r} = ${value};`);
          }
          return text;
        }),
      )
      .join("\n") + (tiling.keep === "rotate" ? `\n${each(rotate)}` : "");

  /**
   * Registers that rotate are a variable for each lane: of a vector that a loop carries lavapipe reads all lanes wherever it needs one.
   * Inputs stay vectors: apart they compile in two thirds of the time, and run slower (bench/README.md).
   */
  const lanes = tiling.lanes > 1 ? components.slice(0, tiling.lanes) : [""];
  const part = (vector: string, lane: string) => (lane === "" ? vector : `${vector}.${lane}`);
  const eachLane = (text: (lane: string) => string) => lanes.map(text).join(" ");

  /** Takes `count` values in at the end of a row of `size`, and moves the others on. */
  function moveIn(into: string, size: number, count: number, from: (k: number, lane: string) => string): string {
    const moved = lines(size - count, (k) => eachLane((lane) => `${into}${k}${lane} = ${into}${k + count}${lane};`));
    const taken = lines(count, (r) => eachLane((lane) => `${into}${size - count + r}${lane} = ${from(r, lane)};`));
    return `${moved}\n${taken}`;
  }

  function rotate(s: number, g: number): string {
    const made = (r: number, lane: string) => part(`q${s}_${g}_${r}`, lane);
    return turns > 1
      ? moveIn(`e${s}_${g}_`, turns * tiling.outputs, tiling.outputs, made)
      : moveIn(`o${s}_${g}_`, mlp.width, tiling.outputs, made);
  }

  const row = (name: string, size: number) =>
    lines(size, (k) => eachLane((lane) => `var ${name}${k}${lane}: ${tiling.half ? "f16" : "f32"};`));

  const accumulate = (s: number, g: number, r: number, input: string, weight: string) =>
    `a${s}_${g}_${r} = fma(${input}, ${splat(tiling, weight)}, a${s}_${g}_${r});`;

  const halfSum = (s: number, g: number, r: number) => `p${s}_${g}_${r}`;

  /** Where a block of the hidden layers, or of the last one, may lie: in one buffer, or in the window for which a condition holds. */
  function placesOf(part: "hidden" | "last", index: string, place?: number): BlockPlace[] {
    if (!windows) return [{ when: "", at: (k) => `pf_weights.${part}[${index}][${k}]` }];
    const start = firstBlock * blocks;
    const places = windows.map(({ begin, first, end }, n) => ({
      when: `${index} >= ${first}u && ${index} < ${end}u`,
      holds: place === undefined || (place >= first && place < end),
      at: (k: string) =>
        `pf_weights${n || ""}[(${index} - ${first}u) * ${block}u + ${start + first * block - begin}u + ${k}]`,
    }));
    return places.filter(({ holds }) => holds);
  }

  /** One block of a layer with `width` inputs held in h{s}_{g}_{k}: straight-line multiply-adds, each weight read once. */
  function blockText(
    places: readonly BlockPlace[],
    wanted: (s: number, r: number) => boolean,
    begin: "var " | "" = "var ",
  ): string {
    const { at } = item(places, 0);
    const isOne = places.length === 1;
    const biasAt = `${block - 1}`;
    const text: string[] = isOne ? [`let bias = ${at(biasAt)}${biasPart(tiling)};`] : [fetched(places)];
    for (const s of sets) {
      for (const g of groups) {
        for (const r of outputs) {
          if (!wanted(s, r)) continue;
          const own = biasOf(tiling, "bias", r);
          const bias = tiling.half ? `f32(${own})` : own;
          text.push(`${begin}a${s}_${g}_${r} = ${s === 0 ? splat(tiling, bias) : `${v}(0.0)`};`);
          if (tiling.half) text.push(`var ${halfSum(s, g, r)} = ${kept}(0.0);`);
        }
      }
    }
    const weights = (vector: number) => {
      if (tiling.gather > 0) {
        const lane = vector % tiling.gather;
        const chunk = vector - lane;
        if (lane === 0 && isOne) text.push(`let c${chunk} = ${at(laneOf(chunk))};`);
        text.push(`let w${vector} = ${broadcastOf(tiling.gather)}(c${chunk}, ${lane}u);`);
      } else {
        text.push(`let w${vector} = ${at(`${vector}`)};`);
      }
    };
    if (isJoined) {
      // Each sum gets the products of eight inputs at one go: SwiftShader stores and loads sums that take turns. More weights at a time would be stored, too.
      const eachSum = (add: (sum: string, c: string) => string) =>
        text.push(each((s, g) => components.map((c) => add(`${s}_${g}`, c)).join("\n")));
      eachSum((sum, c) => `var a${sum}${c} = a${sum}_0.${c};`);
      for (let begin = 0; begin < block - 1; begin += 2) {
        const run = range(Math.min(2, block - 1 - begin)).map((n) => begin + n);
        run.forEach(weights);
        eachSum((sum, c) =>
          run
            .flatMap((n) =>
              components.map((d, j) => `a${sum}${c} = fma(h${sum}_${4 * n + j}.${c}, w${n}.${d}, a${sum}${c});`),
            )
            .join("\n"),
        );
      }
      text.push(each((s, g) => `a${s}_${g}_0 = vec4f(${components.map((c) => `a${s}_${g}${c}`).join(", ")});`));
      return text.join("\n");
    }
    for (let vector = 0; vector < block - 1; vector++) {
      weights(vector);
      for (let part = 0; part < 4; part++) {
        const k = Math.floor((4 * vector + part) / tiling.outputs);
        const r = (4 * vector + part) % tiling.outputs;
        for (const s of sets) {
          if (!wanted(s, r)) continue;
          for (const g of groups) {
            const weight = `w${vector}.${components[part]}`;
            if (!tiling.half) {
              text.push(accumulate(s, g, r, `h${s}_${g}_${k}`, weight));
              continue;
            }
            const sum = halfSum(s, g, r);
            text.push(`${sum} = fma(h${s}_${g}_${k}, ${kept}(${weight}), ${sum});`);
            if (k % halfRun === halfRun - 1) text.push(`a${s}_${g}_${r} += ${v}(${sum});\n${sum} = ${kept}(0.0);`);
          }
        }
      }
    }
    return text.join("\n");
  }

  const laneOf = (chunk: number) => `${chunk}u + pf_lane`;

  /** What a block reads, from whichever window it lies in: a branch of all lanes is one on adapters in software, too. */
  function fetched(places: readonly BlockPlace[]): string {
    const chunks = Array.from({ length: (block - 1) / tiling.gather }, (_, c) => c * tiling.gather);
    const each = (text: (name: string, k: string) => string) =>
      [text("bias", `${block - 1}u`), ...chunks.map((chunk) => text(`c${chunk}`, laneOf(chunk)))].join("\n");
    return `${each((name) => `var ${name}: vec4f;`)}
${places.map(({ when, at }) => `if (${when}) {\n${each((name, k) => `${name} = ${at(k)};`)}\n}`).join("\n")}`;
  }

  /** All blocks of a layer: a loop over `jb`. */
  function blocksText(text: (jb: string) => string): string {
    if (turns === 1) return `for (var jb = 0u; jb < ${blocks}u; jb++) {\n${text("jb")}\n${keep()}\n}`;
    const gathered = turns * tiling.outputs;
    return `for (var jc = 0u; jc < ${blocks / turns}u; jc++) {
for (var ji = 0u; ji < ${turns}u; ji++) {
let jb = jc * ${turns}u + ji;
${text("jb")}
${keep()}
}
${each((s, g) => moveIn(`o${s}_${g}_`, mlp.width, gathered, (k, lane) => `e${s}_${g}_${k}${lane}`))}
}`;
  }

  function firstLayer(jb: string, begin: "var " | "" = "var "): string {
    const scalar = (i: number, r: number) => {
      const at = i * tiling.outputs + r;
      return `f${Math.floor(at / 4)}.${components[at % 4]}`;
    };
    const read = (i: number) => {
      const own = windows ? `pf_weights[${jb} * ${firstBlock}u + ${i}u]` : `pf_weights.first[${jb}][${i}]`;
      return tiling.half ? `vec4f(${own})` : own;
    };
    const text: string[] = [lines(firstBlock, (i) => `let f${i} = ${read(i)};`)];
    for (const g of groups) {
      for (const r of outputs) {
        const start = mlp.conditioned
          ? `pf_offsets[(offset_row + ${jb} * ${tiling.outputs}u + ${r}u) * pf_params.stride + at${g}]`
          : splat(tiling, scalar(0, r));
        text.push(`${begin}a0_${g}_${r} = ${start};`);
        for (let i = 0; i < mlp.dim; i++) text.push(accumulate(0, g, r, `y${g}_${i}`, scalar(1 + i, r)));
        for (let f = 0; f < time; f++) text.push(accumulate(0, g, r, `tau${g}_${f}`, scalar(1 + mlp.dim + f, r)));
        for (const s of sets.slice(1)) {
          if (tangents.kind === "basis") {
            text.push(`${begin === "" ? "" : "let "}a${s}_${g}_${r} = ${splat(tiling, scalar(s, r))};`);
            continue;
          }
          text.push(`${begin}a${s}_${g}_${r} = v${s}_${g}_0 * ${splat(tiling, scalar(1, r))};`);
          for (let i = 1; i < mlp.dim; i++) text.push(accumulate(s, g, r, `v${s}_${g}_${i}`, scalar(1 + i, r)));
        }
      }
    }
    return text.join("\n");
  }

  const advance = each((s, g) =>
    lines(mlp.width, (k) =>
      tiling.keep === "array"
        ? `h${s}_${g}_${k} = o${s}_${g}[${k}];`
        : `let h${s}_${g}_${k} = ${kept}(${lanes.map((lane) => `o${s}_${g}_${k}${lane}`).join(", ")});`,
    ),
  );

  /** The outputs of the network, out of an array of all of the last layer's. */
  const copyFrom = (array: string) =>
    each((s, g) =>
      lines(mlp.dim, (i) =>
        s > 0 && tangents.kind === "basis" && i !== s - 1
          ? ""
          : `${s === 0 ? `u${g}_${i}` : `jv${s}_${g}_${i}`} = ${array}${s}_${g}[${i}];`,
      ),
    );

  const last = () => {
    if (lastBlocks === 1) {
      const wanted = (s: number, r: number) => r < mlp.dim && (s === 0 || tangents.kind === "given" || r === s - 1);
      const out = each((s, g) =>
        outputs
          .filter((r) => wanted(s, r))
          .map((r) => `${s === 0 ? `u${g}_${r}` : `jv${s}_${g}_${r}`} = a${s}_${g}_${r};`)
          .join("\n"),
      );
      return `{\n${blockText(placesOf("last", windows ? lastBlock : "0", hiddenBlocks), wanted)}\n${out}\n}`;
    }
    const out = each((s, g) =>
      lines(tiling.outputs, (r) => `z${s}_${g}[ib * ${tiling.outputs}u + ${r}u] = a${s}_${g}_${r};`),
    );
    return `${each((s, g) => `var z${s}_${g}: array<${v}, ${lastBlocks * tiling.outputs}>;`)}
for (var ib = 0u; ib < ${lastBlocks}u; ib++) {
${blockText(placesOf("last", windows ? `(${hiddenBlocks}u + ib)` : "ib"), () => true)}
${out}
}
${copyFrom("z")}`;
  };

  const rows = each((s, g) =>
    tiling.keep === "array"
      ? `var o${s}_${g}: array<${kept}, ${isJoined ? Math.max(mlp.width, mlp.dim) : mlp.width}>;`
      : [row(`o${s}_${g}_`, mlp.width), turns > 1 ? row(`e${s}_${g}_`, turns * tiling.outputs) : ""].join("\n"),
  );

  if (tiling.keep === "rotate" && mlp.layers > 1) {
    // All layers are turns of one loop, so that what keeps their outputs is there once: a compiler takes as long as that is.
    const sums = each((s, g) => lines(tiling.outputs, (r) => `var a${s}_${g}_${r}: ${v};`));
    const hidden = blockText(placesOf("hidden", "b"), () => true, "");
    return `{
${rows}
for (var layer = 0u; layer < ${mlp.layers}u; layer++) {
${advance}
${blocksText(
  (jb) => `${sums}
if (layer == 0u) {
${firstLayer(jb, "")}
} else {
let b = (layer - 1u) * ${blocks}u + ${jb};
${hidden}
}`,
)}
}
${advance}
${last()}
}`;
  }

  if (isJoined) {
    // The last layer is a turn of the loop of the others, with fewer outputs, which halves the time of compilation.
    return `{
${rows}
${blocksText((jb) => firstLayer(jb))}
for (var layer = 0u; layer < ${mlp.layers}u; layer++) {
${each((s, g) => lines(mlp.width, (k) => `let h${s}_${g}_${k} = o${s}_${g}[${k}];`))}
let is_last = layer == ${mlp.layers - 1}u;
let outputs = select(${blocks}u, ${mlp.dim}u, is_last);
for (var jb = 0u; jb < outputs; jb++) {
let b = layer * ${blocks}u + jb;
${blockText(placesOf("hidden", "b"), () => true)}
${keep(true)}
}
}
${copyFrom("o")}
}`;
  }

  return `{
${rows}
${blocksText((jb) => firstLayer(jb))}
${tiling.keep === "rotate" ? "" : each((s, g) => lines(mlp.width, (k) => `var h${s}_${g}_${k}: ${kept};`))}
${advance}
${
  mlp.layers > 1
    ? `for (var layer = 0u; layer < ${mlp.layers - 1}u; layer++) {
${blocksText((jb) => `let b = layer * ${blocks}u + ${jb};\n${blockText(placesOf("hidden", "b"), () => true)}`)}
${advance}
}`
    : ""
}
${last()}
}`;
}
