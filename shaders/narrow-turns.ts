import { type NarrowTexts, narrowMlpDeclarations, narrowMlpText, type Tangents } from "./narrow-mlp.ts";
import { movingInputs, type NarrowMlp, packedSizes } from "./narrow-sizes.ts";
import { biasOf, biasPart, broadcastOf, components, splat, type Tiling, vectorType } from "./tiling.ts";
import { lines, range } from "./wgsl.ts";

/** Rows whose activations are computed in one turn of their loop. */
const activatedRows = 8;

/** The rows that rotate by themselves while they fill: so many of `width` that outputs are moved the least often. */
function rowsTogether(width: number, outputs: number): number {
  const moves = (rows: number) => rows + (width * outputs) / rows;
  const fitting = range(width / outputs)
    .map((k) => (k + 1) * outputs)
    .filter((rows) => width % rows === 0);
  return fitting.reduce((best, rows) => (moves(rows) < moves(best) ? rows : best));
}

/**
 * The same as narrowMlpText, to the bit, in a text of a quarter of the length, for compilers that take as long as a text is: value and
 * tangents go through a layer one after the other, in turns of one loop, whose product is written once. The first layer is a branch in it.
 * Names are those of narrowMlpText, with one group of particles. Where `tangents.needed` says that only the velocity is wanted, there is
 * one turn, so a stage without a weight has no text of its own.
 *
 * What is held: h{s}_{k}, inputs of turn s, the first of which is h0: after a turn they move up, and its outputs go behind them. o{k}, the
 * outputs of a turn, which rotate, in two levels; d{k}, the slopes of the value's activations, by which those of a tangent are scaled.
 */
function narrowTurnsText(mlp: NarrowMlp, tiling: Tiling, tangents: Tangents): string {
  const { dim, width, layers } = mlp;
  const { block, blocks, lastBlocks, firstBlock } = packedSizes(mlp, tiling.outputs);
  const v = vectorType(tiling);
  const outputs = range(tiling.outputs);
  const sets = range(1 + tangents.count);
  const time = movingInputs(mlp) - dim;
  const few = rowsTogether(width, tiling.outputs);
  const activated = width % activatedRows === 0 ? activatedRows : 4;

  // A variable for each lane: of a vector that a loop carries lavapipe reads all lanes wherever it needs one.
  const lanes = tiling.lanes > 1 ? components.slice(0, tiling.lanes) : [""];
  const eachLane = (text: (lane: string) => string) => lanes.map(text).join(" ");
  const whole = (name: string) => `${v}(${lanes.map((lane) => name + lane).join(", ")})`;
  const part = (vector: string, lane: string) => (lane === "" ? vector : `${vector}.${lane}`);
  const declare = (name: string, rows: number) =>
    lines(rows, (k) => eachLane((lane) => `var ${name}${k}${lane}: f32;`));
  const rotate = (name: string, rows: number, by: number, made: (r: number, lane: string) => string) =>
    `${lines(rows - by, (k) => eachLane((lane) => `${name}${k}${lane} = ${name}${k + by}${lane};`))}
${lines(by, (r) => eachLane((lane) => `${name}${rows - by + r}${lane} = ${made(r, lane)};`))}`;
  const fill = (s: number, from: (k: number, lane: string) => string) =>
    lines(width, (k) => eachLane((lane) => `h${s}_${k}${lane} = ${from(k, lane)};`));
  const moveUp = lines(tangents.count, (s) => fill(s, (k, lane) => `h${s + 1}_${k}${lane}`));

  const begin = (r: number, value: string) => `a${r} = select(${v}(0.0), ${value}, turn == 0u);`;
  const accumulate = (r: number, input: string, weight: string) =>
    `a${r} = fma(${input}, ${splat(tiling, weight)}, a${r});`;

  function product(array: string, index: string): string {
    const text = [`let bias = ${array}[${index}][${block - 1}]${biasPart(tiling)};`];
    for (const r of outputs) text.push(begin(r, splat(tiling, biasOf(tiling, "bias", r))));
    for (let vector = 0; vector < block - 1; vector++) {
      if (tiling.gather > 0) {
        const lane = vector % tiling.gather;
        const chunk = vector - lane;
        if (lane === 0) text.push(`let c${chunk} = ${array}[${index}][${chunk}u + pf_lane];`);
        text.push(`let w${vector} = ${broadcastOf(tiling.gather)}(c${chunk}, ${lane}u);`);
      } else {
        text.push(`let w${vector} = ${array}[${index}][${vector}];`);
      }
      for (let p = 0; p < 4; p++) {
        const k = Math.floor((4 * vector + p) / tiling.outputs);
        text.push(accumulate((4 * vector + p) % tiling.outputs, whole(`h0_${k}`), `w${vector}.${components[p]}`));
      }
    }
    return text.join("\n");
  }

  /** Its inputs are x{i}, the state or a tangent, and the time, which tangents do not have. */
  function firstLayer(): string {
    const scalar = (i: number, r: number) => {
      const at = i * tiling.outputs + r;
      return `f${Math.floor(at / 4)}.${components[at % 4]}`;
    };
    const text = [lines(firstBlock, (i) => `let f${i} = pf_weights.first[jb][${i}];`)];
    for (const r of outputs) {
      const offset = `pf_offsets[(offset_row + jb * ${tiling.outputs}u + ${r}u) * pf_params.stride + at0]`;
      text.push(begin(r, mlp.conditioned ? offset : splat(tiling, scalar(0, r))));
      for (let i = 0; i < dim; i++) text.push(accumulate(r, `x${i}`, scalar(1 + i, r)));
      for (let f = 0; f < time; f++)
        text.push(accumulate(r, `select(${v}(0.0), tau0_${f}, turn == 0u)`, scalar(1 + dim + f, r)));
    }
    return text.join("\n");
  }

  const input = (s: number, i: number) => {
    if (s === 0) return `y0_${i}`;
    return tangents.kind === "given" ? `v${s}_0_${i}` : `${v}(${s - 1 === i ? "1.0" : "0.0"})`;
  };
  const ofTurn = (s: number, text: (i: number) => string) =>
    `if (turn == ${s}u) {\n${lines(dim, (i) => (tangents.kind === "basis" && s > 0 && i !== s - 1 ? "" : text(i)))}\n}`;
  const sums = lines(tiling.outputs, (r) => `var a${r}: ${v};`);

  return `{
let turns = ${tangents.needed ? `select(1u, ${sets.length}u, ${tangents.needed})` : `${sets.length}u`};
${declare("o", width)}
${declare("m", few)}
${declare("d", width)}
${sets.map((s) => declare(`h${s}_`, width)).join("\n")}
for (var layer = 0u; layer < ${layers}u; layer++) {
for (var turn = 0u; turn < turns; turn++) {
${lines(dim, (i) => `var x${i} = ${input(0, i)};`)}
${lines(tangents.count, (s) => `if (turn == ${s + 1}u) {\n${lines(dim, (i) => `x${i} = ${input(s + 1, i)};`)}\n}`)}
for (var some = 0u; some < ${blocks}u; some += ${few / tiling.outputs}u) {
for (var jb = some; jb < some + ${few / tiling.outputs}u; jb++) {
${sums}
${
  layers > 1
    ? `if (layer == 0u) {
${firstLayer()}
} else {
let b = (layer - 1u) * ${blocks}u + jb;
${product("pf_weights.hidden", "b")}
}`
    : firstLayer()
}
${rotate("m", few, tiling.outputs, (r, lane) => part(`a${r}`, lane))}
}
${rotate("o", width, few, (r, lane) => `m${r}${lane}`)}
}
if (turn == 0u) {
for (var some = 0u; some < ${width / activated}u; some++) {
${lines(activated, (r) => `let n${r} = activate_with_slope(${whole(`o${r}`)});`)}
${rotate("o", width, activated, (r, lane) => part(`n${r}.value`, lane))}
${rotate("d", width, activated, (r, lane) => part(`n${r}.slope`, lane))}
}
}
if (turns == 1u) {
${fill(0, (k, lane) => `o${k}${lane}`)}
} else {
${moveUp}
${fill(tangents.count, (k, lane) => `o${k}${lane} * select(d${k}${lane}, 1.0, turn == 0u)`)}
}
}
}
${lines(lastBlocks * tiling.outputs, (i) => `var z${i}: ${v};`)}
for (var turn = 0u; turn < turns; turn++) {
for (var ib = 0u; ib < ${lastBlocks}u; ib++) {
${sums}
${product("pf_weights.last", "ib")}
${lines(lastBlocks, (b) => `if (ib == ${b}u) {\n${lines(tiling.outputs, (r) => `z${b * tiling.outputs + r} = a${r};`)}\n}`)}
}
${sets.map((s) => ofTurn(s, (i) => `${s === 0 ? `u0_${i}` : `jv${s}_0_${i}`} = z${i};`)).join("\n")}
${moveUp}
}
}`;
}

/** The texts of a narrow mlp on all tilings. */
export const narrowTexts: NarrowTexts = {
  declarations: narrowMlpDeclarations,
  evaluation: (mlp, tiling, tangents) =>
    tiling.turns && tangents ? narrowTurnsText(mlp, tiling, tangents) : narrowMlpText(mlp, tiling, tangents),
};
