import { item } from "../src/must.ts";
import { coefficients, evaluated, floats, layout, member, solveParams, statuses } from "./adaptive-rows.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { particle, signature } from "./particles.ts";
import { struct } from "./struct.ts";
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

const largest = 3e38;

export const goalStruct = struct("Goal", { time: "f32", saved: "u32" });

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
${probe ? "" : goalStruct.text}
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
${goalStruct.text}
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
