import { item } from "../src/must.ts";
import { read, several, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, signature } from "./particles.ts";
import { f32, lines, wgsl } from "./wgsl.ts";

/**
 * What the kernels know of a pair of methods: rows of a (the last is b), nodes c, and b − b̂, the weights of the error. Its last stage
 * is the first of the next step.
 */
export interface Pair {
  readonly order: number;
  readonly a: readonly (readonly number[])[];
  readonly c: readonly number[];
  readonly error: readonly number[];
}

/** Why a particle's solve has ended; `running` where it has not. */
export const statuses = { done: 0, stepLimit: 1, stepUnderflow: 2, nonFinite: 3, running: 255 } as const;

const largest = 3e38;

/** What a particle keeps beside its state, its next state and a slope for each stage: rows behind those, one value each. */
const meta = [
  "time",
  "time_low",
  "size",
  "step",
  "goal",
  "status",
  "accepted",
  "rejected",
  "base",
  "lands",
  "end",
] as const;

/** Rows of the buffer that holds a solve, for particles with `components` values: the state and what is integrated with it. */
export function solveRows(components: number, stages: number): number {
  return (2 + stages) * components + meta.length;
}

/** Coefficients of a stage; the first has none. */
const coefficients = (stages: number) => several("a", stages - 1, "f32");

const solveParams = (stages: number) =>
  ({
    capacity: "u32",
    stride: "u32",
    dim: "u32",
    rows: "u32",
    from_list: "u32",
    to_list: "u32",
    count: "u32",
    stage: "u32",
    rtol: "f32",
    atol: "f32",
    start: "f32",
    span: "f32",
    least: "f32",
    max_steps: "u32",
    goals: "u32",
    c: "f32",
    ...coefficients(stages),
  }) as const;

const floats = "array<f32>";
const words = "array<u32>";

/** What the field gave for the particles that are still at work: their list, and its length among the two that alternate. */
const evaluated = (tracks: boolean) => ({
  solve: write(floats),
  divergence: tracks && read(floats),
  velocity: read(floats),
  list: read(words),
  lengths: read(words),
});

/** Buffers [row][capacity]: the particle's own rows by name, its state by component. */
const layout = (stages: number) => `fn components() -> u32 { return params.dim + params.rows; }
fn now(i: u32, q: u32) -> u32 { return i * params.capacity + q; }
fn next(i: u32, q: u32) -> u32 { return (components() + i) * params.capacity + q; }
fn slope(s: u32, i: u32, q: u32) -> u32 { return ((2u + s) * components() + i) * params.capacity + q; }
${lines(meta.length, (k) => `fn at_${meta[k]}(q: u32) -> u32 { return (${2 + stages}u * components() + ${k}u) * params.capacity + q; }`)}
// by the bits: comparisons with NaN may be optimised away
fn is_finite(value: f32) -> bool { return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u; }
// whole numbers are kept as floats, exact below 2^24: the bits of small ones would be denormal
fn whole(at: u32) -> u32 { return u32(solve[at]); }
fn keep_whole(at: u32, value: u32) { solve[at] = f32(value); }
`;

const member = `${index}
  if (p >= lengths[params.from_list]) { return; }
  let q = list[p];`;

const goalType = "struct Goal { time: f32, saved: u32 }";

/** Keeps what the field gave for a stage's state: the velocity, and minus the divergence for what is integrated with it. */
const keepSlope = (tracks: boolean) => `fn keep_slope(s: u32, p: u32, q: u32) {
  for (var i = 0u; i < params.dim; i++) { solve[slope(s, i, q)] = velocity[i * params.stride + p]; }
  ${tracks ? "for (var k = 0u; k < params.rows; k++) { solve[slope(s, params.dim + k, q)] = -divergence[k * params.stride + p]; }" : ""}
}`;

/** Squares of what exceeds its tolerance 10¹⁹-fold overflow, as those of a field of 10³⁰ do: their sum is also kept in smaller units. */
const unit = 2 ** -70;

/** The root of the mean square of the components and of the mean of what is integrated beside them, each over its tolerance. */
const norm = (value: (at: string) => string, name: string, wide: boolean) => `fn ${name}(q: u32) -> f32 {
  var sum = 0.0;
  var reduced = 0.0;
  for (var i = 0u; i < params.dim; i++) {
    let scale = params.atol + params.rtol * ${wide ? "max(abs(solve[now(i, q)]), abs(solve[next(i, q)]))" : "abs(solve[now(i, q)])"};
    let part = (${value("i")}) / scale;
    sum = fma(part, part, sum);
    reduced = fma(part * ${f32(unit)}, part * ${f32(unit)}, reduced);
  }
  if (params.rows == 0u) { return root_mean(sum, reduced, params.dim); }
  var all = 0.0;
  var before = 0.0;
  var after = 0.0;
  for (var k = 0u; k < params.rows; k++) {
    let i = params.dim + k;
    all += ${value("i")};
    before += solve[now(i, q)];
    ${wide ? "after += solve[next(i, q)];" : ""}
  }
  let base = solve[at_base(q)];
  let size = ${wide ? "max(abs(base + before / f32(params.rows)), abs(base + after / f32(params.rows)))" : "abs(base + before / f32(params.rows))"};
  let part = all / f32(params.rows) / (params.atol + params.rtol * size);
  return root_mean(fma(part, part, sum), fma(part * ${f32(unit)}, part * ${f32(unit)}, reduced), params.dim + 1u);
}`;

/** What both sums stand for, of `n` squares. */
const rootMean = `fn root_mean(sum: f32, reduced: f32, n: u32) -> f32 {
  return select(sqrt(reduced / f32(n)) * ${f32(1 / unit)}, sqrt(sum / f32(n)), is_finite(sum));
}`;

/** The step that is tried next: of the controller's size, or just what is left to the goal. */
const tryStep = `fn try_step(q: u32, size: f32) {
  let rest = (goals[whole(at_goal(q))].time - solve[at_time(q)]) - solve[at_time_low(q)];
  let lands = abs(rest) <= size * 1.000001;
  solve[at_size(q)] = size;
  let step = select(select(size, -size, rest < 0.0), rest, lands);
  solve[at_step(q)] = step;
  // exactly there, so that no stage is beyond the end
  let end = solve[at_time(q)] + (solve[at_time_low(q)] + step);
  solve[at_end(q)] = select(end, goals[whole(at_goal(q))].time, lands);
  keep_whole(at_lands(q), select(0u, 1u, lands));
}`;

/**
 * Starts a solve: state [dim][capacity] and log p at the start [capacity] (where it is `based` on one) into the rows of `solve`.
 * Saves the first goal where it is the start itself.
 */
export const beginKernel = oncePerShape(({ based, stages }: { based: boolean; stages: number }) =>
  kernel({
    label: "begin adaptive solve",
    entryPoint: "begin",
    params: solveParams(stages),
    buffers: {
      solve: write(floats),
      base: based && read(floats),
      state: write(floats),
      list: write(words),
      lengths: write(words),
      times: write(floats),
    },
    code: wgsl`${layout(stages)}

${particle}
fn begin${signature} {
  ${index}
  if (p == 0u) { lengths[0] = params.count; }
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) { solve[now(i, p)] = state[i * params.capacity + p]; }
  for (var k = 0u; k < params.rows; k++) { solve[now(params.dim + k, p)] = 0.0; }
  ${lines(meta.length, (k) => (meta[k] === "base" ? "" : `solve[at_${meta[k]}(p)] = 0.0;`))}
  // a log p that is not finite has no say in the steps
  ${based ? "solve[at_base(p)] = select(0.0, base[p], is_finite(base[p]));" : "solve[at_base(p)] = 0.0;"}
  solve[at_time(p)] = params.start;
  keep_whole(at_goal(p), params.stage);
  keep_whole(at_status(p), ${statuses.running}u);
  times[p] = params.start;
  if (p < params.count) { list[p] = p; }
}
`,
  }),
);

/**
 * The first step's size (Hairer, Nørsett & Wanner I, §II.4), in two parts around an evaluation at a short Euler step.
 */
export const startKernel = oncePerShape(
  (shape: { tracks: boolean; part: "probe" | "size"; stages: number; order: number }) => {
    const { tracks, part, stages, order } = shape;
    const probe = part === "probe";
    return kernel({
      label: `first step of an adaptive solve, ${part}`,
      entryPoint: "start",
      params: solveParams(stages),
      buffers: {
        ...evaluated(tracks),
        state: probe && write(floats),
        times: probe && write(floats),
        goals: !probe && read("array<Goal>"),
      },
      code: wgsl`${layout(stages)}
${probe ? "" : goalType}
${keepSlope(tracks)}
${rootMean}
// a norm beyond f32 is as good as its largest number, of which a quotient can be taken
fn bounded(size: f32) -> f32 { return select(size, ${f32(largest)}, size > ${f32(largest)}); }
fn is_slope_finite(s: u32, q: u32) -> bool {
  var good = true;
  for (var i = 0u; i < components(); i++) { good = good && is_finite(solve[slope(s, i, q)]); }
  return good;
}
${norm((i) => `solve[slope(0u, ${i}, q)]`, "norm_slope", false)}
${probe ? norm((i) => `solve[now(${i}, q)] + select(0.0, solve[at_base(q)], ${i} >= params.dim)`, "norm_state", false) : norm((i) => `solve[slope(1u, ${i}, q)] - solve[slope(0u, ${i}, q)]`, "norm_change", false)}
${probe ? "" : tryStep}

${particle}
fn start${signature} {
  ${member}
#if ${probe}
  keep_slope(0u, p, q);
  let d0 = bounded(norm_state(q));
  let d1 = bounded(norm_slope(q));
  var h = 0.01 * d0 / d1;
  if (d0 < 1e-5 || d1 < 1e-5) { h = 1e-6; }
  // the field is known between the ends only
  h = min(h, abs(params.span));
  solve[at_size(q)] = h;
  let signed = select(h, -h, params.span < 0.0);
  for (var i = 0u; i < params.dim; i++) {
    state[i * params.stride + p] = fma(signed, solve[slope(0u, i, q)], solve[now(i, q)]);
  }
  times[p] = params.start + signed;
#else
  keep_slope(1u, p, q);
  let d1 = bounded(norm_slope(q));
  let h0 = solve[at_size(q)];
  let d2 = bounded(norm_change(q) / h0);
  var h1 = pow(0.01 / max(d1, d2), ${f32(1 / order)});
  if (max(d1, d2) <= 1e-15) { h1 = max(1e-6, h0 * 1e-3); }
  // where even the shortest step may be too long, the error of it will tell
  let h = max(min(min(100.0 * h0, h1), abs(params.span)), params.least);
  if (is_slope_finite(0u, q) && is_slope_finite(1u, q) && is_finite(d1) && is_finite(d2)) {
    try_step(q, h);
  } else {
    keep_whole(at_status(q), ${statuses.nonFinite}u);
    solve[at_step(q)] = 0.0;
  }
#endif
}
`,
    });
  },
);

/**
 * State and time of stage 1, 2, … of the step that is tried: x + h Σ a_j k_j. What the field gave for the stage before is kept first.
 */
export const stageKernel = oncePerShape(({ tracks, stages }: { tracks: boolean; stages: number }) =>
  kernel({
    label: "stage of an adaptive step",
    entryPoint: "stage",
    params: solveParams(stages),
    buffers: { ...evaluated(tracks), state: write(floats), times: write(floats) },
    code: wgsl`${layout(stages)}
${keepSlope(tracks)}

${particle}
fn stage${signature} {
  ${member}
  if (params.stage > 1u) { keep_slope(params.stage - 1u, p, q); }
  let h = solve[at_step(q)];
  let a = array<f32, ${stages - 1}>(${Object.keys(coefficients(stages))
    .map((a) => `params.${a}`)
    .join(", ")});
  for (var i = 0u; i < components(); i++) {
    var d = 0.0;
    for (var j = 0u; j < params.stage; j++) { d = fma(a[j], solve[slope(j, i, q)], d); }
    let y = fma(h, d, solve[now(i, q)]);
    if (i < params.dim) { state[i * params.stride + p] = y; }
    solve[next(i, q)] = y;
  }
  times[p] = select(solve[at_time(q)] + fma(params.c, h, solve[at_time_low(q)]), solve[at_end(q)], params.c == 1.0);
}
`,
  }),
);

/**
 * Ends a step that was tried: measures its error, accepts or rejects it, chooses the next size, saves what a goal asks for.
 * err = rms(h Σ e_j k_j / (atol + rtol·max(|y|, |y⁺|))) over the particle's own components; h ← h·clamp(0.9 err^(−1/order), 0.2, 10).
 * `saved` is [goals][components][capacity].
 */
export const controlKernel = oncePerShape((shape: { tracks: boolean; order: number; error: readonly number[] }) => {
  const { tracks, order, error } = shape;
  const stages = error.length;
  return kernel({
    label: "error control of an adaptive step",
    entryPoint: "control",
    params: solveParams(stages),
    buffers: { ...evaluated(tracks), goals: read("array<Goal>"), saved: write(floats) },
    code: wgsl`${layout(stages)}
${goalType}
${keepSlope(tracks)}
fn error_of(i: u32, q: u32) -> f32 {
  var e = 0.0;
  ${lines(stages, (s) => (error[s] === 0 ? "" : `e = fma(${f32(item(error, s))}, solve[slope(${s}u, i, q)], e);`))}
  return e * solve[at_step(q)];
}
${rootMean}
${norm((i) => `error_of(${i}, q)`, "norm_error", true)}
${tryStep}

${particle}
fn control${signature} {
  ${member}
  if (whole(at_status(q)) != ${statuses.running}u) { return; }
  keep_slope(${stages - 1}u, p, q);
  let error = norm_error(q);
  var is_good = is_finite(error);
  for (var i = 0u; i < components(); i++) { is_good = is_good && is_finite(solve[next(i, q)]); }
  var factor = 0.2;
  if (is_good) { factor = clamp(0.9 * pow(max(error, 1e-10), ${f32(-1 / order)}), 0.2, 10.0); }
  let step = solve[at_step(q)];
  var size = abs(step) * factor;
  if (is_good && error <= 1.0) {
    size = max(size, abs(step));
    for (var i = 0u; i < components(); i++) {
      solve[now(i, q)] = solve[next(i, q)];
      solve[slope(0u, i, q)] = solve[slope(${stages - 1}u, i, q)];
    }
    keep_whole(at_accepted(q), whole(at_accepted(q)) + 1u);
    if (whole(at_lands(q)) == 1u) {
      // a step cut short says nothing against the size that it was cut from
      size = max(size, solve[at_size(q)]);
      let goal = whole(at_goal(q));
      solve[at_time(q)] = goals[goal].time;
      solve[at_time_low(q)] = 0.0;
      if (goals[goal].saved != 0xffffffffu) {
        for (var i = 0u; i < components(); i++) {
          saved[(goals[goal].saved * components() + i) * params.capacity + q] = solve[now(i, q)];
        }
      }
      if (goal + 1u == params.goals) {
        keep_whole(at_status(q), ${statuses.done}u);
        return;
      }
      keep_whole(at_goal(q), goal + 1u);
    } else {
      // the sum of the two parts stays exact to twice the digits, so that many steps arrive where they should
      let time = solve[at_time(q)];
      let added = solve[at_time_low(q)] + step;
      let sum = time + added;
      solve[at_time(q)] = sum;
      solve[at_time_low(q)] = added - (sum - time);
    }
  } else {
    keep_whole(at_rejected(q), whole(at_rejected(q)) + 1u);
  }
  size = min(size, abs(params.span));
  if (size < params.least) {
    keep_whole(at_status(q), select(${statuses.nonFinite}u, ${statuses.stepUnderflow}u, is_good));
  } else if (whole(at_accepted(q)) + whole(at_rejected(q)) >= params.max_steps) {
    keep_whole(at_status(q), ${statuses.stepLimit}u);
  }
  try_step(q, size);
}
`,
  });
});

/** The list of the particles that are still at work. Their order is of no importance. */
export const compactKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: "particles still at work",
    entryPoint: "compact",
    params: solveParams(stages),
    buffers: { solve: write(floats), list: read(words), lengths: write("array<atomic<u32>>"), new_list: write(words) },
    code: wgsl`${layout(stages)}

${particle}
fn compact${signature} {
  ${index}
  if (p >= atomicLoad(&lengths[params.from_list])) { return; }
  let q = list[p];
  if (whole(at_status(q)) == ${statuses.running}u) { new_list[atomicAdd(&lengths[params.to_list], 1u)] = q; }
}
`,
  }),
);

/** One number of `lengths` back to zero. */
export const clearLengthKernel = oncePerShape((_: object) =>
  kernel({
    label: "no particles at work",
    entryPoint: "clear_length",
    params: { which: "u32" },
    buffers: { lengths: write(words) },
    code: wgsl`
@compute @workgroup_size(1)
fn clear_length() { lengths[params.which] = 0u; }
`,
  }),
);

/** What belongs to the particles of a list, in its order: to[j, p] = from[j, list[p]]. */
export const gatherKernel = oncePerShape((_: object) =>
  kernel({
    label: "gather by list",
    entryPoint: "gather",
    params: { from_list: "u32", rows: "u32", from_row: "u32", to_row: "u32", each: "u32" },
    buffers: { from_values: read(words), list: read(words), lengths: read(words), to_values: write(words) },
    code: wgsl`
${particle}
fn gather${signature} {
  ${member}
  for (var j = 0u; j < params.rows; j++) {
    to_values[j * params.to_row + p * params.each] = from_values[j * params.from_row + q * params.each];
  }
}
`,
  }),
);

/**
 * A state, the last or a saved one, back to where a fixed grid leaves it. For particles that did not reach the goal, the last one.
 */
export const restoreKernel = oncePerShape(({ tracks, stages }: { tracks: boolean; stages: number }) =>
  kernel({
    label: "restore a state of an adaptive solve",
    entryPoint: "restore",
    params: solveParams(stages),
    buffers: { solve: write(floats), saved: read(floats), state: write(floats), integral: tracks && write(floats) },
    code: wgsl`${layout(stages)}

${particle}
fn restore${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  // count: the saved state, from 0, or all ones for the last; stage: the goal that saves it
  let is_last = params.count == 0xffffffffu || (whole(at_status(p)) != ${statuses.done}u && whole(at_goal(p)) <= params.stage);
  for (var i = 0u; i < components(); i++) {
    var value = solve[now(i, p)];
    if (!is_last) { value = saved[(params.count * components() + i) * params.capacity + p]; }
    if (i < params.dim) { state[i * params.capacity + p] = value; }
    ${tracks ? "else { integral[(i - params.dim) * params.capacity + p] = value; }" : ""}
  }
}
`,
  }),
);

/** Statuses of the particles, and sums over them: accepted steps, rejected ones; the most of both. */
export const reportKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: "report of an adaptive solve",
    entryPoint: "report",
    params: solveParams(stages),
    buffers: { solve: write(floats), status: write(words), totals: write("array<atomic<u32>>") },
    code: wgsl`${layout(stages)}

${particle}
fn report${signature} {
  ${index}
  if (p >= params.count) { return; }
  status[p] = whole(at_status(p));
  let accepted = whole(at_accepted(p));
  let rejected = whole(at_rejected(p));
  atomicAdd(&totals[0], accepted);
  atomicAdd(&totals[1], rejected);
  atomicMax(&totals[2], accepted + rejected);
}
`,
  }),
);
