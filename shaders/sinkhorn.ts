import { rowValue, sourceNumbers } from "./flow-matching.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { drawIndexAs, drawParams, random } from "./random.ts";
import { choiceParams, choiceText, chosenRow, type RowChoice } from "./row-draws.ts";
import { startDraws, startPart, startValue } from "./source-draws.ts";
import { hasParts, type SourceKind } from "./source-kinds.ts";
import { lines, wgsl } from "./wgsl.ts";

/*
 * Entropic optimal transport between the n source samples of a group and its n rows (Cuturi 2013), in the log domain. Points lie
 * feature-major, [width][n]: states, then contexts and the class, scaled so that the cost is |start − end|² over all of them. It is
 * computed wherever it is needed, and never stored.
 */

export const sinkhornWorkgroup = 64;
/** Invocations that share a point, and points of a workgroup. */
const lanes = 8;
export const pointsPerWorkgroup = sinkhornWorkgroup / lanes;

/** Groups have a multiple of this many samples: each lane takes as many vectors of four as the others. */
export const groupGranule = 4 * lanes;

const widestUnrolled = 16;

/**
 * Text that sums (other − own)² over coordinates into `cost`, for the four others of vector `j`; the own coordinates are `own_k` where
 * there are few, which `ownText` declares.
 */
const costText = (width: number, own: string, other: string) =>
  width <= widestUnrolled
    ? wgsl`var cost = vec4f(0.0);
    ${lines(width, (k) => `let d${k} = ${other}[${k}u * quarters + j] - own_${k}; cost += d${k} * d${k};`)}`
    : wgsl`var cost = vec4f(0.0);
    for (var k = 0u; k < ${width}u; k++) {
      let d = ${other}[k * quarters + j] - ${own}[k * quarters + i / 4u][i % 4u];
      cost += d * d;
    }`;
/** Of points with many coordinates these are read where they are needed. */
const ownText = (width: number, own: string) =>
  width <= widestUnrolled ? lines(width, (k) => `let own_${k} = ${own}[${k}u * quarters + i / 4u][i % 4u];`) : "";

interface GroupShape extends RowChoice {
  readonly source: SourceKind;
  readonly labels: boolean;
  readonly context: boolean;
  /** Whether the samples of the source lie in the order of the pairs, from `starts_at` on. */
  readonly placed?: boolean;
}

/** The points of a group: source samples by their numbers, and the rows that these numbers draw. */
export const groupPointsKernel = oncePerShape(
  ({ source, labels, context, draws, shuffled, placed = false }: GroupShape) =>
    kernel({
      label: "points of a group",
      entryPoint: "group_points",
      params: {
        count: "u32",
        dim: "u32",
        rows: "u32",
        ...drawParams,
        ...choiceParams({ draws, shuffled }),
        stream_index: "u32",
        stream_source: "u32",
        parts: hasParts(source) && "u32",
        starts_at: placed && "u32",
        context: "u32",
        factors: context && "u32",
        class_scale: "f32",
      },
      buffers: {
        data: read("array<f32>"),
        // as of a batch, and from `factors` on a factor for each column of the context
        constants: read("array<f32>"),
        starts: write("array<f32>"),
        ends: write("array<f32>"),
        drawn: write("array<u32>"),
        labels: labels && read("array<u32>"),
        context_rows: context && read("array<f32>"),
        row_draws: draws && read("array<RowDraw>"),
      },
      code: wgsl`
${random}
${choiceText({ draws, shuffled })}

@compute @workgroup_size(${sinkhornWorkgroup})
fn group_points(@builtin(global_invocation_id) id: vec3u) {
  let p = id.x;
  if (p >= params.count) { return; }
  ${drawIndexAs("start_low", "start_high")}
  let key = vec2u(params.key_low, params.key_high);
  let row_words = philox(vec4u(start_low, start_high, 0u, params.stream_index), key);
  let data_row = ${chosenRow({ draws, shuffled }, "row_words")};
  drawn[p] = data_row;
  ${placed ? "let part = params.starts_at + p;" : startPart(source, ...sourceNumbers(source))}
  for (var first = 0u; first < params.dim; first += 4u) {
    ${startDraws(source)}
    for (var j = 0u; j < 4u && first + j < params.dim; j++) {
      let i = first + j;
      ${startValue(source, ...sourceNumbers(source))}
      ${rowValue}
      starts[i * params.count + p] = start;
      ends[i * params.count + p] = own;
    }
  }
  var row = params.dim;
#if ${context}
  for (var c = 0u; c < params.context; c++) {
    let value = context_rows[data_row * params.context + c] * constants[params.factors + c];
    starts[row * params.count + p] = value;
    ends[row * params.count + p] = value;
    row++;
  }
#endif
#if ${labels}
  // classes are so far apart that no pair has samples of two; the null class is beside class 0
  let label = labels[data_row];
  let place = params.class_scale * select(f32(label), -1.0, label == 0xffffffffu);
  starts[row * params.count + p] = place;
  ends[row * params.count + p] = place;
#endif
}
`,
    }),
);

/** Text that begins an invocation of a lane: its point `i`, vectors of four points `quarters`. */
const lane = wgsl`let lane = local % ${lanes}u;
  let i = params.from_row + group.x * ${pointsPerWorkgroup}u + local / ${lanes}u;
  let quarters = params.count / 4u;`;
const signature = "(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32)";

/**
 * Half a step of Sinkhorn's algorithm: potential[i] = −ε (LSE_j((other[j] − cost[i, j])/ε) − log n), for points from `from_row` on.
 * `scale` is log2(e)/ε, potentials are in units of cost.
 */
export const sinkhornKernel = oncePerShape(({ width }: { readonly width: number }) =>
  kernel({
    label: "half a step of Sinkhorn's algorithm",
    entryPoint: "sinkhorn",
    params: { count: "u32", from_row: "u32", scale: "f32", log2_count: "f32" },
    buffers: {
      own: read("array<vec4f>"),
      other: read("array<vec4f>"),
      other_potential: read("array<vec4f>"),
      potential: write("array<f32>"),
    },
    code: wgsl`
var<workgroup> tops: array<f32, ${sinkhornWorkgroup}>;
var<workgroup> sums: array<f32, ${sinkhornWorkgroup}>;

@compute @workgroup_size(${sinkhornWorkgroup})
fn sinkhorn${signature} {
  ${lane}
  ${ownText(width, "own")}
  var top = -3e38;
  var sum = 0.0;
  for (var j = lane; j < quarters; j += ${lanes}u) {
    ${costText(width, "own", "other")}
    let v = (other_potential[j] - cost) * params.scale;
    let next = max(top, max(max(v.x, v.y), max(v.z, v.w)));
    sum = sum * exp2(top - next) + dot(exp2(v - next), vec4f(1.0));
    top = next;
  }
  tops[local] = top;
  sums[local] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    for (var k = 1u; k < ${lanes}u; k++) { top = max(top, tops[local + k]); }
    sum = 0.0;
    for (var k = 0u; k < ${lanes}u; k++) { sum += sums[local + k] * exp2(tops[local + k] - top); }
    potential[i] = (params.log2_count - (top + log2(sum))) / params.scale;
  }
}
`,
  }),
);

/**
 * Draws a row for each source sample from its row of the plan, exp((f_i + g_j − cost[i, j])/ε)/n: by a uniform number of the pair, over
 * the columns in the order of the lanes. Writes the row of the data, and |x_1 − x_0|² of the states: of this pair and of the one that
 * was drawn.
 */
export const drawPairsKernel = oncePerShape(({ width, dim }: { readonly width: number; readonly dim: number }) =>
  kernel({
    label: "pairs from a plan",
    entryPoint: "draw_pairs",
    params: { count: "u32", from_row: "u32", scale: "f32", at: "u32", ...drawParams, stream: "u32" },
    buffers: {
      own: read("array<vec4f>"),
      other: read("array<vec4f>"),
      potential: read("array<f32>"),
      other_potential: read("array<vec4f>"),
      drawn: read("array<u32>"),
      pair_rows: write("array<u32>"),
      costs: write("array<f32>"),
    },
    code: wgsl`
${random}

var<workgroup> sums: array<f32, ${sinkhornWorkgroup}>;
// of each point: the lane in whose columns the draw falls, and how far into their sum
var<workgroup> chosen: array<u32, ${pointsPerWorkgroup}>;
var<workgroup> rests: array<f32, ${pointsPerWorkgroup}>;

fn squared_distance(i: u32, j: u32) -> f32 {
  let quarters = params.count / 4u;
  var sum = 0.0;
  for (var k = 0u; k < ${dim}u; k++) {
    let d = other[k * quarters + j / 4u][j % 4u] - own[k * quarters + i / 4u][i % 4u];
    sum = fma(d, d, sum);
  }
  return sum;
}

@compute @workgroup_size(${sinkhornWorkgroup})
fn draw_pairs${signature} {
  ${lane}
  ${ownText(width, "own")}
  let mine = potential[i];
  var sum = 0.0;
  for (var j = lane; j < quarters; j += ${lanes}u) {
    ${costText(width, "own", "other")}
    sum += dot(exp2((other_potential[j] + mine - cost) * params.scale), vec4f(1.0));
  }
  sums[local] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    var total = 0.0;
    for (var k = 0u; k < ${lanes}u; k++) { total += sums[local + k]; }
    let low = params.first_low + i;
    let high = params.first_high + select(0u, 1u, low < i);
    let key = vec2u(params.key_low, params.key_high);
    var rest = uniform01(philox(vec4u(low, high, 0u, params.stream), key).x) * total;
    var at = 0u;
    // rounding may leave a rest behind the last lane
    while (at < ${lanes - 1}u && rest > sums[local + at]) {
      rest -= sums[local + at];
      at++;
    }
    chosen[local / ${lanes}u] = at;
    rests[local / ${lanes}u] = rest;
  }
  workgroupBarrier();
  if (lane == chosen[local / ${lanes}u]) {
    var rest = rests[local / ${lanes}u];
    var found = false;
    var column = i;
    for (var j = lane; j < quarters && !found; j += ${lanes}u) {
      ${costText(width, "own", "other")}
      let weight = exp2((other_potential[j] + mine - cost) * params.scale);
      for (var k = 0u; k < 4u && !found; k++) {
        if (weight[k] > 0.0) {
          column = 4u * j + k;
          found = rest <= weight[k];
          rest -= weight[k];
        }
      }
    }
    pair_rows[params.at + i] = drawn[column];
    costs[i] = squared_distance(i, column);
    costs[params.count + i] = squared_distance(i, i);
  }
}
`,
  }),
);

/**
 * Means over a group into figures[at…]: |x_1 − x_0|² of its pairs and of independent ones, and how far the plan's columns are from
 * their share 1/n, Σ_j |Σ_i plan[i, j] − 1/n|, from the potential of the columns and the one that half a step more would give. One
 * workgroup, in an order that is always the same.
 */
export const planFiguresKernel = oncePerShape((_: object) =>
  kernel({
    label: "figures of a plan",
    entryPoint: "plan_figures",
    params: { count: "u32", at: "u32", scale: "f32" },
    buffers: {
      costs: read("array<f32>"),
      potential: read("array<f32>"),
      next_potential: read("array<f32>"),
      figures: write("array<f32>"),
    },
    code: wgsl`
var<workgroup> tree: array<vec3f, ${sinkhornWorkgroup}>;

@compute @workgroup_size(${sinkhornWorkgroup})
fn plan_figures(@builtin(local_invocation_index) local: u32) {
  var mine = vec3f(0.0);
  for (var i = local; i < params.count; i += ${sinkhornWorkgroup}u) {
    let share = exp2((potential[i] - next_potential[i]) * params.scale);
    mine += vec3f(costs[i], costs[params.count + i], abs(share - 1.0));
  }
  tree[local] = mine;
  workgroupBarrier();
  for (var half = ${sinkhornWorkgroup / 2}u; half > 0u; half /= 2u) {
    if (local < half) { tree[local] += tree[local + half]; }
    workgroupBarrier();
  }
  if (local < 3u) { figures[params.at + local] = tree[0][local] / f32(params.count); }
}
`,
  }),
);

/** Floats of the figures of a group: costs of its pairs and of independent ones, error of the columns, and one to spare. */
export const figuresPerGroup = 4;
