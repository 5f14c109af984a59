import { streams } from "../src/random/philox.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { type Numeric, numbered, read, several, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { drawIndex, drawNumbers, drawParams, random } from "./random.ts";
import { choiceNumbers, choiceParams, choiceText, chosenRow, type RowChoice } from "./row-draws.ts";
import type { SourceKind } from "./source-kinds.ts";
import { groupsOf, mostBuffers } from "./stages.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel in this file; one invocation per sample of the batch. */
const likelihoodWorkgroup = 64;

const head = wgsl`@compute @workgroup_size(${likelihoodWorkgroup})`;

const signature = "(@builtin(global_invocation_id) id: vec3u)";

const sample = wgsl`let p = id.x;
  if (p >= params.capacity) { return; }`;

const perSample = (capacity: number, work: number): Pick<Dispatch, "workgroups" | "flops"> => ({
  workgroups: [Math.ceil(capacity / likelihoodWorkgroup)],
  flops: capacity * work,
});

/**
 * Draws the rows of a batch from the data by the samples' numbers since the start of training, in the flow's own space.
 * Buffers: data [rows][dim], affine (mean, scale, rest of the mean), state [dim][capacity], [all labels, labels [count]],
 * [all context, context [count][context]], [the table of {@link rowDraws}].
 */
export const drawRowsKernel = oncePerShape((shape: { labels: boolean; context: boolean } & RowChoice) => {
  const { labels, context, draws } = shape;
  return kernel({
    label: "draw rows of data",
    entryPoint: "draw_rows",
    params: {
      capacity: "u32",
      dim: "u32",
      count: "u32",
      rows: "u32",
      ...drawParams,
      ...choiceParams(shape),
      stream: "u32",
      context: "u32",
      stream_noise: draws && "u32",
    },
    buffers: {
      data: read("array<f32>"),
      affine: read("array<f32>"),
      state: write("array<f32>"),
      all_labels: labels && read("array<u32>"),
      labels: labels && write("array<u32>"),
      all_context: context && read("array<f32>"),
      context: context && write("array<f32>"),
      row_draws: draws && read("array<RowDraw>"),
    },
    code: wgsl`
${random}
${choiceText(shape)}

${head}
fn draw_rows${signature} {
  ${sample}
  ${drawIndex}
  let key = vec2u(params.key_low, params.key_high);
  let words = philox(vec4u(low, high, 0u, params.stream), key);
  let row = ${chosenRow(shape, "words")};
#if ${draws}
  var noise: vec4f;
#endif
  for (var i = 0u; i < params.dim; i++) {
    let own = ((data[row * params.dim + i] - affine[i]) - affine[2u * params.dim + i]) / affine[params.dim + i];
#if ${draws}
    if (i % 4u == 0u) { noise = row_noise(row, vec2u(low, high), i / 4u, params.stream_noise, key); }
    state[i * params.capacity + p] = own + noise[i % 4u];
#else
    state[i * params.capacity + p] = own;
#endif
  }
  if (p >= params.count) { return; }
#if ${labels}
  labels[p] = all_labels[row];
#endif
#if ${context}
  for (var c = 0u; c < params.context; c++) { context[p * params.context + c] = all_context[row * params.context + c]; }
#endif
}
`,
  });
});

/** Buffers of the conditions of all rows, and of those of the batch. */
interface Drawn {
  readonly all: string;
  readonly drawn: string;
}

/** Rows of the data for samples `first`, `first + 1`, … of the training, into `state`. */
export function planDrawRows(o: {
  capacity: number;
  dim: number;
  count: number;
  rows: number;
  /** Whether each pass over the data has every row once. */
  shuffled?: boolean;
  first: number;
  key: readonly [number, number];
  stream: number;
  context: number;
  names: {
    data: string;
    affine: string;
    state: string;
    labels: Drawn | undefined;
    context: Drawn | undefined;
    draws: string | undefined;
  };
}): Dispatch {
  const { capacity, dim, count, rows, shuffled = false, stream, context } = o;
  const { data, affine, state, labels, context: contexts, draws } = o.names;
  const shape = { labels: labels !== undefined, context: contexts !== undefined, draws: draws !== undefined, shuffled };
  return dispatchOf(drawRowsKernel(shape), {
    params: {
      capacity,
      dim,
      count,
      rows,
      stream,
      context,
      stream_noise: draws === undefined ? undefined : streams.rowNoise,
      ...drawNumbers(o.first, o.key),
      ...choiceNumbers(shape, o.first, rows),
    },
    buffers: {
      data,
      affine,
      state,
      all_labels: labels?.all,
      labels: labels?.drawn,
      all_context: contexts?.all,
      context: contexts?.drawn,
      row_draws: draws,
    },
    ...perSample(capacity, (draws === undefined ? 4 : 64) * dim + 60),
  });
}

/**
 * The gradient of −scale·Σ log p_0 at the end of the solve: (x − mean)/std² for a Gaussian, 0 on a box, of a mixture the mean of its
 * components' by their shares of p_0; padding counts nothing. Buffer `density` has log p_0. Buffer `source` as in source-draws.ts.
 */
export const sourceScoreKernel = oncePerShape(({ kind }: { kind: SourceKind }) =>
  kernel({
    label: `${kind} source score`,
    entryPoint: "source_score",
    params: { capacity: "u32", dim: "u32", parts: kind === "mixture" && "u32", count: "u32", scale: "f32" },
    buffers: {
      source: read("array<f32>"),
      state: read("array<f32>"),
      density: kind === "mixture" && read("array<f32>"),
      adjoint: write("array<f32>"),
    },
    code: wgsl`
${head}
fn source_score${signature} {
  ${sample}
  let scale = select(0.0, params.scale, p < params.count);
#if ${kind === "mixture"}
  for (var i = 0u; i < params.dim; i++) { adjoint[i * params.capacity + p] = 0.0; }
  let all = params.parts * params.dim;
  for (var k = 0u; k < params.parts; k++) {
    var sum = 0.0;
    for (var i = 0u; i < params.dim; i++) {
      let z = (state[i * params.capacity + p] - source[k * params.dim + i]) / source[all + k * params.dim + i];
      sum = fma(z, z, sum);
    }
    let share = scale * exp(fma(-0.5, sum, source[2u * all + params.parts + k]) - density[p]);
    for (var i = 0u; i < params.dim; i++) {
      let at = i * params.capacity + p;
      let deviation = source[all + k * params.dim + i];
      adjoint[at] = fma(share, (state[at] - source[k * params.dim + i]) / deviation / deviation, adjoint[at]);
    }
  }
#else
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
#if ${kind === "gaussian"}
    let deviation = source[params.dim + i];
    adjoint[at] = scale * ((state[at] - source[i]) / deviation / deviation);
#else
    adjoint[at] = 0.0;
#endif
  }
#endif
}
`,
  }),
);

/** −scale·∇ log p_0 of `state` into `adjoint`. */
export function planSourceScore(o: {
  kind: SourceKind;
  parts: number;
  capacity: number;
  dim: number;
  count: number;
  scale: number;
  names: { source: string; state: string; density: string; adjoint: string };
}): Dispatch {
  const { kind, capacity, dim, count, scale } = o;
  const { density, ...names } = o.names;
  const isMixture = kind === "mixture";
  return dispatchOf(sourceScoreKernel({ kind }), {
    params: { capacity, dim, parts: isMixture ? o.parts : undefined, count, scale },
    buffers: { ...names, density: isMixture ? density : undefined },
    ...perSample(capacity, 8 * o.parts * dim),
  });
}

/** target = Σ w_j·rows_j over [dim][capacity], added to what is there or not; zeros when there is none. Buffers: target, then the rows. */
export const combineKernel = oncePerShape(({ terms, add }: { terms: number; add: boolean }) =>
  kernel({
    label: `combine ${terms} rows${add ? " and what is there" : ""}`,
    entryPoint: "combine",
    params: { capacity: "u32", dim: "u32", ...several("w", terms, "f32") },
    buffers: { target_rows: write("array<f32>"), ...several("rows", terms, read("array<f32>")) },
    code: wgsl`
${head}
fn combine${signature} {
  ${sample}
  for (var i = 0u; i < params.dim; i++) {
    let at = i * params.capacity + p;
    var sum = ${add ? "target_rows[at]" : "0.0"};
    ${lines(terms, (j) => `sum = fma(params.w${j}, rows${j}[at], sum);`)}
    target_rows[at] = sum;
  }
}
`,
  }),
);

/** `target` = Σ weight·rows over [dim][capacity]; no term makes it zero. Terms beyond the bindings of a kernel are added by others. */
export function planCombine(o: {
  capacity: number;
  dim: number;
  target: string;
  terms: readonly { readonly weight: Numeric; readonly rows: string }[];
}): Dispatch[] {
  const { capacity, dim } = o;
  return groupsOf(o.terms.length, mostBuffers - 1, mostBuffers - 1).map(([start, end]) => {
    const terms = o.terms.slice(start, end);
    const weights = terms.map(({ weight }) => weight);
    const rows = terms.map(({ rows }) => rows);
    return dispatchOf(combineKernel({ terms: terms.length, add: start > 0 }), {
      params: { capacity, dim, ...numbered("w", weights) },
      buffers: { target_rows: o.target, ...numbered("rows", rows) },
      ...perSample(capacity, 2 * terms.length * dim),
    });
  });
}
