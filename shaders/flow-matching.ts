import { streams } from "../src/random/philox.ts";
import { batchWorkgroup } from "./batch-workgroup.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import type { SourceKind } from "./particles.ts";
import { drawNumbers, drawParams, random } from "./random.ts";
import { rowDraws } from "./row-draws.ts";
import { wgsl } from "./wgsl.ts";

const signature = "(@builtin(global_invocation_id) id: vec3u)";

const sample = wgsl`let p = id.x;
  if (p >= params.capacity) { return; }`;

/**
 * Text that writes x_t = α x_1 + σ x_0 and the target α̇ x_1 + σ̇ x_0 of dimension i; in: start, end and either time, for the straight
 * path α = t, σ = 1 − t, or path = (α, σ, α̇, σ̇).
 */
const pathRow = (isTable: boolean) =>
  isTable
    ? wgsl`
    inputs[i * params.capacity + p] = fma(path.x, end, path.y * start);
    targets[i * params.capacity + p] = fma(path.z, end, path.w * start);
`
    : wgsl`
    inputs[i * params.capacity + p] = fma(time, end, (1.0 - time) * start);
    targets[i * params.capacity + p] = end - start;
`;

export interface BatchShape {
  readonly source: SourceKind;
  readonly labels: boolean;
  readonly context: boolean;
  /** Whether the path is a table of coefficients at 2^16 times, of which each sample draws one; else it is the straight one. */
  readonly table: boolean;
  /** Whether rows have shares and noise of their own, in the table of {@link rowDraws}; else all are alike and taken as they are. */
  readonly draws: boolean;
}

/**
 * Draws a flow-matching batch: a row x_1 of the data, x_0 from the source and t uniform per sample, all from the sample's number
 * since the start of training; writes the network's input rows at x_t and the target, the velocity of the pair
 * (Lipman et al. 2024, §4.6 and §4.8).
 */
export const batchKernel = oncePerShape(({ source, labels, context, table, draws }: BatchShape) =>
  kernel({
    label: "flow-matching batch",
    entryPoint: "draw_batch",
    params: {
      capacity: "u32",
      dim: "u32",
      rows: "u32",
      ...drawParams,
      stream_index: "u32",
      stream_time: "u32",
      stream_source: "u32",
      stream_dropout: "u32",
      stream_noise: draws && "u32",
      row: "u32",
      classes: "u32",
      context: "u32",
      dropout: "f32",
    },
    buffers: {
      data: read("array<f32>"),
      // rows of dim: data mean, data scale, the rest of the mean that f32 has not, and the two rows of the source
      constants: read("array<f32>"),
      inputs: write("array<f32>"),
      targets: write("array<f32>"),
      labels: labels && read("array<u32>"),
      context: context && read("array<f32>"),
      path_table: table && read("array<vec4f>"),
      row_draws: draws && read("array<RowDraw>"),
    },
    code: wgsl`
${random}
#if ${draws}
${rowDraws}
#endif

@compute @workgroup_size(${batchWorkgroup})
fn draw_batch${signature} {
  ${sample}
  let low = params.first_low + p;
  let high = params.first_high + select(0u, 1u, low < p);
  let key = vec2u(params.key_low, params.key_high);
  let row_words = philox(vec4u(low, high, 0u, params.stream_index), key);
#if ${draws}
  let data_row = drawn_row(row_words, params.rows);
#else
  let data_row = random_index(row_words.x, params.rows);
#endif
  let time_bits = philox(vec4u(low, high, 0u, params.stream_time), key).x;
#if ${table}
  let path = path_table[time_bits >> 16u];
  let time = (f32(time_bits >> 16u) + 0.5) * 0x1p-16f;
#else
  let time = uniform01(time_bits);
#endif
  for (var first = 0u; first < params.dim; first += 4u) {
    let bits = philox(vec4u(low, high, first / 4u, params.stream_source), key);
#if ${source === "gaussian"}
    let draws = normal4(bits);
#else
    let draws = vec4f(uniform01(bits.x), uniform01(bits.y), uniform01(bits.z), uniform01(bits.w));
#endif
#if ${draws}
    let noise = row_noise(data_row, vec2u(low, high), first / 4u, params.stream_noise, key);
#endif
    for (var j = 0u; j < 4u && first + j < params.dim; j++) {
      let i = first + j;
      let a = constants[3u * params.dim + i];
      let b = constants[4u * params.dim + i];
#if ${source === "gaussian"}
      let start = fma(b, draws[j], a);
#else
      let start = fma(b - a, draws[j], a);
#endif
      let own = ((data[data_row * params.dim + i] - constants[i]) - constants[2u * params.dim + i]) / constants[params.dim + i];
#if ${draws}
      let end = own + noise[j];
#else
      let end = own;
#endif
      ${pathRow(table)}
    }
  }
  inputs[params.dim * params.capacity + p] = time;
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
  for (var c = 0u; c < params.context; c++) {
    inputs[(params.row + params.classes + c) * params.capacity + p] = context[data_row * params.context + c];
  }
#endif
}
`,
  }),
);

/** Draws a batch whose first sample has the number `first` since the start of training. */
export function planBatch(o: {
  velocity: { readonly dim: number; readonly classes: number; readonly context: number };
  source: SourceKind;
  capacity: number;
  rows: number;
  first: number;
  key: readonly [number, number];
  labelDropout: number;
  names: {
    data: string;
    constants: string;
    labels?: string | undefined;
    context?: string | undefined;
    /** Coefficients of a path other than the straight one. */
    table?: string | undefined;
    draws?: string | undefined;
  };
}): Dispatch {
  const { source, capacity, rows, labelDropout } = o;
  const { dim, classes, context } = o.velocity;
  const { names } = o;
  const has = { labels: names.labels !== undefined, context: names.context !== undefined };
  const draws = names.draws !== undefined;
  return dispatchOf(batchKernel({ source, ...has, table: names.table !== undefined, draws }), {
    params: {
      capacity,
      dim,
      rows,
      row: dim + 1,
      classes,
      context,
      dropout: labelDropout,
      ...drawNumbers(o.first, o.key),
      stream_index: streams.batchIndex,
      stream_time: streams.batchTime,
      stream_source: streams.batchSource,
      stream_dropout: streams.labelDropout,
      stream_noise: draws ? streams.rowNoise : undefined,
    },
    buffers: {
      data: names.data,
      constants: names.constants,
      inputs: "h0",
      targets: "target",
      labels: names.labels,
      context: names.context,
      path_table: names.table,
      row_draws: names.draws,
    },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * ((draws ? 2 : 1) * 60 * dim + 100 + classes + context),
  });
}

/**
 * The same rows from given x_0, x_1 ([n][dim]) and t ([n]), on the straight path or, with `path`, on one whose coefficients are given for
 * each sample; padding repeats the last sample.
 */
export const givenBatchKernel = oncePerShape(({ path }: { readonly path: boolean }) =>
  kernel({
    label: "given flow-matching batch",
    entryPoint: "given_batch",
    params: { capacity: "u32", dim: "u32", count: "u32" },
    buffers: {
      starts: read("array<f32>"),
      ends: read("array<f32>"),
      times: read("array<f32>"),
      inputs: write("array<f32>"),
      targets: write("array<f32>"),
      coefficients: path && read("array<vec4f>"),
    },
    code: wgsl`
@compute @workgroup_size(${batchWorkgroup})
fn given_batch${signature} {
  ${sample}
  let q = min(p, params.count - 1u);
  let time = times[q];
#if ${path}
  let path = coefficients[q];
#endif
  for (var i = 0u; i < params.dim; i++) {
    let start = starts[q * params.dim + i];
    let end = ends[q * params.dim + i];
    ${pathRow(path)}
  }
  inputs[params.dim * params.capacity + p] = time;
}
`,
  }),
);

/** Input rows and targets from given x_0, x_1 and t. */
export function planGivenBatch(o: {
  velocity: { readonly dim: number };
  capacity: number;
  count: number;
  names: { starts: string; ends: string; times: string; path?: string | undefined };
}): Dispatch {
  const { starts, ends, times, path } = o.names;
  const { capacity, count } = o;
  const { dim } = o.velocity;
  return dispatchOf(givenBatchKernel({ path: path !== undefined }), {
    params: { capacity, dim, count },
    buffers: { starts, ends, times, inputs: "h0", targets: "target", coefficients: path },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * 6 * dim,
  });
}

/** Residual r = u − target: squares [capacity] = Σ_i r_i² and ubar = 2 r/(n dim), the gradient of the mean square. Padding counts nothing. */
export const residualKernel = oncePerShape((_: object) =>
  kernel({
    label: "flow-matching residual",
    entryPoint: "residual",
    params: { capacity: "u32", dim: "u32", count: "u32", scale: "f32" },
    buffers: {
      velocity: read("array<f32>"),
      targets: read("array<f32>"),
      cotangent: write("array<f32>"),
      squares: write("array<f32>"),
    },
    code: wgsl`
@compute @workgroup_size(${batchWorkgroup})
fn residual${signature} {
  ${sample}
  var sum = 0.0;
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    let r = select(0.0, velocity[at] - targets[at], p < params.count);
    cotangent[at] = params.scale * r;
    sum = fma(r, r, sum);
  }
  squares[p] = sum;
}
`,
  }),
);

/** Residuals of "u" against "target" into "ubar" and "squares". */
export function planResidual(o: { dim: number; capacity: number; count: number }): Dispatch {
  const { dim, capacity, count } = o;
  return dispatchOf(residualKernel({}), {
    params: { capacity, dim, count, scale: 2 / (count * dim) },
    buffers: { velocity: "u", targets: "target", cotangent: "ubar", squares: "squares" },
    workgroups: [Math.ceil(capacity / batchWorkgroup)],
    flops: capacity * 4 * dim,
  });
}
