import { streams } from "../src/random/philox.ts";
import { batchWorkgroup } from "./batch-workgroup.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { drawIndex, drawNumbers, drawParams, random } from "./random.ts";
import { choiceNumbers, choiceParams, choiceText, chosenRow, type RowChoice, rowDraw } from "./row-draws.ts";
import { startDraws, startPart, startValue } from "./source-draws.ts";
import { hasParts, type SourceKind } from "./source-kinds.ts";
import { struct } from "./struct.ts";
import { wgsl } from "./wgsl.ts";

export const signature = "(@builtin(global_invocation_id) id: vec3u)";

export const sample = wgsl`let p = id.x;
  if (p >= params.capacity) { return; }`;

/**
 * Text that writes x_t = α x_1 + σ x_0 and the target α̇ x_1 + σ̇ x_0 of dimension i; in: start, end and either time, for the straight
 * path α = t, σ = 1 − t, or path = (α, σ, α̇, σ̇). On a bridge noise is added to both: `spread` and `rate` times normals. Of a step x_t is
 * its start, and the target what it is away from there, `per_time`.
 */
export const pathRow = (
  isTable: boolean,
  bridge?: { spread: string; rate: string; z: string },
  end = "end",
  ofSteps = false,
) =>
  ofSteps
    ? wgsl`
    inputs[i * params.capacity + p] = start;
    targets[i * params.capacity + p] = (end - start) * per_time;
`
    : isTable
      ? wgsl`
    inputs[i * params.capacity + p] = fma(path.x, ${end}, path.y * start)${bridge ? ` + ${bridge.spread} * ${bridge.z}` : ""};
    targets[i * params.capacity + p] = fma(path.z, ${end}, path.w * start)${bridge ? ` + ${bridge.rate} * ${bridge.z}` : ""};
`
      : wgsl`
    inputs[i * params.capacity + p] = fma(time, ${end}, (1.0 - time) * start);
    targets[i * params.capacity + p] = ${end} - start;
`;

const drawnNoise = { spread: "entry.spread", rate: "entry.rate", z: "wiggle[j]" };

/** Where the numbers of the source lie: behind those that change units, or samples behind the rows of the data. */
export const sourceNumbers = (kind: SourceKind): [numbers: string, at: string] =>
  kind === "samples" ? ["data", "params.rows * params.dim"] : ["constants", "3u * params.dim"];

/** Text that makes `own`, dimension i of row `data_row` in the flow's own space. */
export const rowValue = wgsl`let own = ((data[data_row * params.dim + i] - constants[i]) - constants[2u * params.dim + i]) / constants[params.dim + i];`;

/** An entry of the table of times: α, σ, α̇, σ̇, t, w, and by what the noise of a bridge counts in x_t and in the target. */
export const timeEntry = struct("TimeEntry", { path: "vec4f", time: "f32", weight: "f32", spread: "f32", rate: "f32" });

interface BatchShape extends RowChoice {
  readonly source: SourceKind;
  readonly labels: boolean;
  readonly context: boolean;
  /** Whether times and path are a table of 2^16 entries, of which each sample draws one; else times are uniform, the path straight. */
  readonly table: boolean;
  /** Whether the weights of the loss are written, as a row behind the targets; they are in the table. */
  readonly weighted: boolean;
  /** Whether noise is added between the ends of a pair: how much is in the table. */
  readonly bridge: boolean;
  /** Whether each sample of a batch draws its time in a part of its own, all of one size. */
  readonly stratified: boolean;
  /** Whether some axes are circular, where pairs are joined by the shorter arc: constants have the turn of each axis, or 0, from `turns` on. */
  readonly circular: boolean;
  /** Whether rows and source samples come in pairs, which were made before; else they are drawn independently of each other. */
  readonly pairs: boolean;
  /** Whether each row has the sample of its own number. */
  readonly rowByRow?: boolean;
  /** Whether the samples of the source lie in the order of the batch; of pairs, in that of the pairs' places. */
  readonly placed?: boolean;
  /** Whether such a pair is a step, from a time of its own: x_t is its start, the target its mean velocity. */
  readonly ofSteps?: boolean;
}

/**
 * Draws a flow-matching batch: a row x_1 of the data, x_0 from the source and a time per sample, all from the sample's number
 * since the start of training; writes the network's input rows at x_t and the target, the velocity of the pair
 * (Lipman et al. 2024, §4.6 and §4.8). Of pairs the row is given; the source sample is that of the pair's number.
 */
export const batchKernel = oncePerShape(
  ({ source, labels, context, table, weighted, bridge, stratified, draws, shuffled, pairs, ...own }: BatchShape) => {
    const { circular, rowByRow = false, ofSteps = false, placed = false } = own;
    // pairs have their rows already
    const choice = { draws: draws && !pairs, shuffled: shuffled && !pairs };
    const place = pairs ? "(params.pair_at + pair) % params.room" : "min(p, params.parts - 1u)";
    const part = rowByRow ? "data_row" : placed ? place : undefined;
    return kernel({
      label: "flow-matching batch",
      entryPoint: "draw_batch",
      params: {
        capacity: "u32",
        dim: "u32",
        rows: "u32",
        ...drawParams,
        ...choiceParams(choice),
        stream_index: "u32",
        stream_time: "u32",
        stream_source: "u32",
        stream_dropout: "u32",
        stream_noise: draws && "u32",
        stream_bridge: bridge && "u32",
        stream_context: context && "u32",
        context_dropout: context && "f32",
        part: stratified && "f32",
        turns: circular && "u32",
        parts: hasParts(source) && "u32",
        row: "u32",
        classes: "u32",
        context: "u32",
        dropout: "f32",
        // the number of the first pair that may be drawn, its place in the buffer, how many may be drawn (0: each in order) and fit there
        pair_low: pairs && "u32",
        pair_high: pairs && "u32",
        pair_at: pairs && "u32",
        drawn: pairs && "u32",
        room: pairs && "u32",
        stream_pair: pairs && "u32",
      },
      buffers: {
        // in data units, and behind them samples of the source in the flow's own space
        data: read("array<f32>"),
        // rows of dim: data mean, data scale, the rest of the mean that f32 has not; and the numbers of any other source
        constants: read("array<f32>"),
        inputs: write("array<f32>"),
        targets: write("array<f32>"),
        labels: labels && read("array<u32>"),
        context: context && read("array<f32>"),
        time_table: table && read("array<TimeEntry>"),
        row_draws: draws && !pairs && read("array<RowDraw>"),
        // rows of the data by the pairs' places; behind them the table of row draws, for which there is no ninth buffer
        pair_rows: pairs && read("array<u32>"),
      },
      code: wgsl`
${random}
${choiceText(choice)}
#if ${table}
${timeEntry.text}
#endif

@compute @workgroup_size(${batchWorkgroup})
fn draw_batch${signature} {
  ${sample}
  ${drawIndex}
  let key = vec2u(params.key_low, params.key_high);
#if ${pairs}
  var pair = p;
  if (params.drawn > 0u) { pair = random_index(philox(vec4u(low, high, 0u, params.stream_pair), key).x, params.drawn); }
  let data_row = pair_rows[(params.pair_at + pair) % params.room];
  let start_low = params.pair_low + pair;
  let start_high = params.pair_high + select(0u, 1u, start_low < pair);
#else
  let row_words = philox(vec4u(low, high, 0u, params.stream_index), key);
  let data_row = ${chosenRow(choice, "row_words")};
  let start_low = low;
  let start_high = high;
#endif
  let uniform_level = uniform01(philox(vec4u(low, high, 0u, params.stream_time), key).x);
#if ${stratified}
  // (0, 1] in as many parts as there are samples: rows are drawn independently of the samples' numbers
  let level = min((f32(p) + uniform_level) * params.part, 1.0);
#else
  let level = uniform_level;
#endif
#if ${ofSteps}
  // behind the samples: when each row's step begins, and one over its time
  let step_at = (params.rows + params.parts) * params.dim + 2u * data_row;
  let time = data[step_at];
  let per_time = data[step_at + 1u];
#elif ${table}
  let entry = time_table[u32(ceil(level * 0x1p16f)) - 1u];
  let path = entry.path;
  let time = entry.time;
#else
  let time = level;
#endif
  ${part ? `let part = ${part};` : startPart(source, ...sourceNumbers(source))}
  for (var first = 0u; first < params.dim; first += 4u) {
    ${startDraws(source)}
#if ${draws && pairs}
    let deviation = bitcast<f32>(pair_rows[params.room + ${rowDraw.words}u * data_row + ${rowDraw.at.deviation}u]);
    let noise = deviation * normal4(philox(vec4u(low, high, first / 4u, params.stream_noise), key));
#elif ${draws}
    let noise = row_noise(data_row, vec2u(low, high), first / 4u, params.stream_noise, key);
#endif
#if ${bridge}
    let wiggle = normal4(philox(vec4u(low, high, first / 4u, params.stream_bridge), key));
#endif
    for (var j = 0u; j < 4u && first + j < params.dim; j++) {
      let i = first + j;
      ${startValue(source, ...sourceNumbers(source))}
      ${rowValue}
#if ${draws}
      let end = own + noise[j];
#else
      let end = own;
#endif
#if ${circular}
      let arc = constants[params.turns + i];
      // the nearest of the points end + k·arc; an axis that is no circle has no other
      let goal = fma(-arc, round((end - start) / max(arc, 1.0)), end);
#endif
      ${pathRow(table, bridge ? drawnNoise : undefined, circular ? "goal" : "end", ofSteps)}
    }
  }
  inputs[params.dim * params.capacity + p] = time;
#if ${weighted}
  targets[params.dim * params.capacity + p] = entry.weight;
#endif
#if ${labels}
  var label = labels[data_row];
  // the label is dropped with the given probability, so that the null class is trained too
  if (uniform01(philox(vec4u(low, high, 0u, params.stream_dropout), key).x) <= params.dropout) { label = 0xffffffffu; }
  for (var c = 0u; c < params.classes; c++) {
    inputs[(params.row + c) * params.capacity + p] = select(0.0, 1.0, c == label);
  }
#else
  for (var c = 0u; c < params.classes; c++) { inputs[(params.row + c) * params.capacity + p] = 0.0; }
#endif
#if ${context}
  let keeps_context = uniform01(philox(vec4u(low, high, 0u, params.stream_context), key).x) > params.context_dropout;
  for (var c = 0u; c < params.context; c++) {
    let given = context[data_row * params.context + c];
    inputs[(params.row + params.classes + c) * params.capacity + p] = select(0.0, given, keeps_context);
  }
#endif
}
`,
    });
  },
);

/** Draws a batch whose first sample has the number `first` since the start of training. */
export function planBatch(o: {
  velocity: { readonly dim: number; readonly classes: number; readonly context: number };
  source: { readonly kind: SourceKind; readonly parts: number };
  capacity: number;
  rows: number;
  /** Whether each pass over the data has every row once. */
  shuffled?: boolean;
  first: number;
  key: readonly [number, number];
  labelDropout: number;
  contextDropout: number;
  /** Samples of the batch, where their times are stratified. */
  strata?: number | undefined;
  weighted: boolean;
  /** Noise between the ends of a pair, as the table says. */
  bridge?: boolean;
  /** The element of the constants that the turns of circular axes begin at. */
  turns?: number | undefined;
  names: {
    data: string;
    constants: string;
    labels?: string | undefined;
    context?: string | undefined;
    /** Times and coefficients, where these are not uniform on the straight path. */
    table?: string | undefined;
    draws?: string | undefined;
  };
  /** Pairs instead of independent draws: see {@link PairSchedule.pairs}. */
  pairs?: { rows: string; first: number; at: number; room: number; drawn: number } | undefined;
  /** Pairs that are given: each row has the sample of its number, and with `ofSteps` a step's times, which lie behind the samples. */
  given?: { readonly ofSteps: boolean } | undefined;
  /** Samples of the source that were brought for this batch, or for these pairs, in their order. */
  placed?: boolean;
}): Dispatch {
  const { capacity, rows, shuffled = false, labelDropout, pairs } = o;
  const { kind: source, parts } = o.source;
  const { dim, classes, context } = o.velocity;
  const { names } = o;
  const has = { labels: names.labels !== undefined, context: names.context !== undefined };
  const draws = names.draws !== undefined;
  const stratified = o.strata !== undefined;
  const { bridge = false, turns, placed = false } = o;
  const shape = {
    source,
    ...has,
    table: names.table !== undefined,
    weighted: o.weighted,
    bridge,
    stratified,
    circular: turns !== undefined,
  };
  const choice = { draws, shuffled: shuffled && pairs === undefined };
  const given = o.given && { rowByRow: true, ofSteps: o.given.ofSteps };
  return dispatchOf(batchKernel({ ...shape, ...choice, pairs: pairs !== undefined, placed, ...given }), {
    params: {
      capacity,
      dim,
      rows,
      row: dim + 1,
      classes,
      context,
      dropout: labelDropout,
      ...drawNumbers(o.first, o.key),
      ...choiceNumbers(choice, o.first, rows),
      stream_index: streams.batchIndex,
      stream_time: streams.batchTime,
      stream_source: streams.batchSource,
      parts: hasParts(source) ? parts : undefined,
      stream_dropout: streams.labelDropout,
      stream_noise: draws ? streams.rowNoise : undefined,
      stream_bridge: bridge ? streams.bridge : undefined,
      stream_context: has.context ? streams.contextDropout : undefined,
      context_dropout: has.context ? o.contextDropout : undefined,
      part: o.strata && 1 / o.strata,
      turns,
      pair_low: pairs && pairs.first % 2 ** 32,
      pair_high: pairs && Math.floor(pairs.first / 2 ** 32),
      pair_at: pairs?.at,
      drawn: pairs?.drawn,
      room: pairs?.room,
      stream_pair: pairs && streams.pair,
    },
    buffers: {
      data: names.data,
      constants: names.constants,
      inputs: "h0",
      targets: "target",
      labels: names.labels,
      context: names.context,
      time_table: names.table,
      row_draws: pairs ? undefined : names.draws,
      pair_rows: pairs?.rows,
    },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * ((draws ? 2 : 1) * 60 * dim + 100 + classes + context),
  });
}
