import { turn } from "../src/network/circle.ts";
import { arctangent, cosineQuarter, halfPi, sineQuarter } from "../src/random/polynomials.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { f32, horner, wgsl } from "./wgsl.ts";

/*
 * Rows in a space of its own: an interval, the positive numbers, a simplex (src/data/transform.ts has the same in f64). Buffer `space`
 * has five rows of [dim]: the kind (0 as it is, 1 an interval, 2 positive, 3 the first axis of a simplex, 4 a circle, 5 a latitude), low or the size of the simplex,
 * high or the period of the circle, and the least and the greatest f32 of the space. `affine` is as in import-export.ts, between y and the flow's own space.
 */

const softplus = wgsl`fn softplus(y: f32) -> f32 { return max(y, 0.0) + log(1.0 + exp(-abs(y))); }`;

/** y of axis i of particle p. */
const free = wgsl`fn free(i: u32, p: u32) -> f32 {
  return affine[i] + fma(state[i * params.capacity + p], affine[params.dim + i], affine[2u * params.dim + i]);
}`;

/** The largest of 0 and the y of a simplex, and Σ exp(y − that) with the part that is left, whose y is 0. */
const simplex = wgsl`fn simplex(first: u32, size: u32, p: u32) -> vec2f {
  var most = 0.0;
  for (var j = 0u; j < size; j++) { most = max(most, free(first + j, p)); }
  var sum = exp(-most);
  for (var j = 0u; j < size; j++) { sum += exp(free(first + j, p) - most); }
  return vec2f(most, sum);
}`;

/** The latitude in degrees of y: from the pole or from the equator, which is nearer. */
const latitude = wgsl`fn latitude(y: f32) -> f32 {
  let q = exp(-0.5 * abs(y));
  // of both tan(θ/2), θ from the pole or the equator, the smaller one is below √2 − 1
  let t = (1.0 - q) / (1.0 + q);
  let near = min(q, t);
  let z = near * near;
  let degrees = ${f32(360 / Math.PI)} * (near + near * z * ${horner(arctangent, "z")});
  return sign(y) * select(degrees, 90.0 - degrees, q < t);
}`;

/** y of a latitude in degrees, by sine and cosine of half the angle from the nearer pole; NaN from a pole on. */
const ordinate = wgsl`fn ordinate(x: f32) -> f32 {
  let from_pole = (90.0 - abs(x)) / 180.0;
  let z = from_pole * from_pole;
  let s = from_pole * ${f32(halfPi.high)} + from_pole * (${f32(halfPi.low)} + z * ${horner(sineQuarter, "z")});
  let c = 1.0 + z * ${horner(cosineQuarter, "z")};
  return select(-2.0, 2.0, x > 0.0) * log_ratio(c, s);
}`;

/** log |det ∂y/∂x| of the states, as a function of y, into `log_det` [capacity]. */
export const logDeterminantKernel = oncePerShape(() =>
  kernel({
    label: "log-determinant of a transform",
    entryPoint: "log_determinant",
    params: { capacity: "u32", dim: "u32" },
    buffers: {
      state: read("array<f32>"),
      affine: read("array<f32>"),
      space: read("array<f32>"),
      log_det: write("array<f32>"),
    },
    code: wgsl`
${softplus}
${free}
${simplex}
${particle}
fn log_determinant${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  var sum = 0.0;
  var i = 0u;
  while (i < params.dim) {
    let kind = u32(space[i]);
    var size = 1u;
    if (kind == 1u) {
      let y = free(i, p);
      sum += softplus(y) + softplus(-y) - log(space[2u * params.dim + i] - space[params.dim + i]);
    } else if (kind == 2u) {
      sum -= free(i, p);
    } else if (kind == 3u) {
      size = u32(space[params.dim + i]);
      let parts = simplex(i, size, p);
      sum += f32(size + 1u) * (parts.x + log(parts.y));
      for (var j = 0u; j < size; j++) { sum -= free(i + j, p); }
    } else if (kind == 4u) {
      sum += log(${turn}.0 / space[2u * params.dim + i]);
    } else if (kind == 5u) {
      // log 2 cosh(y/2), per degree
      let y = free(i, p);
      sum += softplus(y) - 0.5 * y + ${f32(Math.log(Math.PI / 180))};
    }
    i += size;
  }
  log_det[p] = sum;
}
`,
  }),
);

/** See {@link logDeterminantKernel}. */
export function logDeterminant(o: {
  capacity: number;
  dim: number;
  state: string;
  affine: string;
  space: string;
  logDet: string;
}): Dispatch {
  const { capacity, dim, state, affine, space, logDet } = o;
  return dispatchOf(logDeterminantKernel({}), {
    params: { capacity, dim },
    buffers: { state, affine, space, log_det: logDet },
    ...perParticle(capacity, dim * 40),
  });
}

/** Adds `log_det` [capacity] to elements of `log_prob` from `offset` on. */
export const addLogDeterminantKernel = oncePerShape(() =>
  kernel({
    label: "log-probability in a transform's space",
    entryPoint: "add_log_determinant",
    params: { count: "u32", offset: "u32" },
    buffers: { log_det: read("array<f32>"), log_prob: write("array<f32>") },
    code: wgsl`
${particle}
fn add_log_determinant${signature} {
  ${index}
  if (p >= params.count) { return; }
  log_prob[params.offset + p] += log_det[p];
}
`,
  }),
);

/** See {@link addLogDeterminantKernel}. */
export function addLogDeterminant(o: { count: number; offset: number; logDet: string; logProb: string }): Dispatch {
  const { count, offset, logDet, logProb } = o;
  return dispatchOf(addLogDeterminantKernel({}), {
    params: { count, offset },
    buffers: { log_det: logDet, log_prob: logProb },
    ...perParticle(count, 1),
  });
}

/** State [dim][capacity] → rows [n][dim] of data, from row `offset` of the output on. */
export const exportBoundKernel = oncePerShape(() =>
  kernel({
    label: "export particles into a transform's space",
    entryPoint: "export_bound",
    params: { count: "u32", capacity: "u32", dim: "u32", offset: "u32" },
    buffers: {
      state: read("array<f32>"),
      affine: read("array<f32>"),
      space: read("array<f32>"),
      rows: write("array<f32>"),
    },
    code: wgsl`
${free}
${simplex}
${latitude}
// into the space, where rounding has led to its edge; NaN stays NaN, which compares with nothing
fn within(x: f32, i: u32) -> f32 {
  let least = space[3u * params.dim + i];
  let greatest = space[4u * params.dim + i];
  return select(select(x, least, x < least), greatest, x > greatest);
}
${particle}
fn export_bound${signature} {
  ${index}
  if (p >= params.count) { return; }
  let row = (params.offset + p) * params.dim;
  var i = 0u;
  while (i < params.dim) {
    let kind = u32(space[i]);
    let y = free(i, p);
    let low = space[params.dim + i];
    let high = space[2u * params.dim + i];
    var size = 1u;
    if (kind == 0u) {
      rows[row + i] = y;
    } else if (kind == 1u) {
      // from the end that is nearer, whose digits count
      let part = (high - low) / (1.0 + exp(abs(y)));
      rows[row + i] = within(select(high - part, low + part, y < 0.0), i);
    } else if (kind == 2u) {
      rows[row + i] = within(exp(y), i);
    } else if (kind == 4u) {
      let turns = y / ${turn}.0 + 0.5;
      rows[row + i] = within(fma(high, turns - floor(turns), low), i);
    } else if (kind == 5u) {
      rows[row + i] = within(latitude(y), i);
    } else {
      size = u32(low);
      let parts = simplex(i, size, p);
      for (var j = 0u; j < size; j++) { rows[row + i + j] = within(exp(free(i + j, p) - parts.x) / parts.y, i + j); }
    }
    i += size;
  }
}
`,
  }),
);

/** See {@link exportBoundKernel}. */
export function exportBound(o: {
  count: number;
  capacity: number;
  dim: number;
  offset: number;
  state: string;
  affine: string;
  space: string;
  rows: string;
}): Dispatch {
  const { count, capacity, dim, offset, state, affine, space, rows } = o;
  return dispatchOf(exportBoundKernel({}), {
    params: { count, capacity, dim, offset },
    buffers: { state, affine, space, rows },
    ...perParticle(count, dim * 30),
  });
}

/** Rows [n][dim] of data → state [dim][capacity]; a row outside of the space becomes NaN, padding zero. */
export const importBoundKernel = oncePerShape(() =>
  kernel({
    label: "import particles from a transform's space",
    entryPoint: "import_bound",
    params: { count: "u32", capacity: "u32", dim: "u32" },
    buffers: {
      rows: read("array<f32>"),
      affine: read("array<f32>"),
      space: read("array<f32>"),
      state: write("array<f32>"),
    },
    code: wgsl`
fn put(i: u32, p: u32, y: f32) {
  state[i * params.capacity + p] = ((y - affine[i]) - affine[2u * params.dim + i]) / affine[params.dim + i];
}
// the bits depend on params, since a constant NaN does not compile
fn log_ratio(a: f32, b: f32) -> f32 {
  return select(bitcast<f32>(0x7fc00000u | (params.dim & 0u)), log(a) - log(b), a > 0.0 && b > 0.0);
}
${ordinate}
${particle}
fn import_bound${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  if (p >= params.count) {
    for (var i = 0u; i < params.dim; i++) { state[i * params.capacity + p] = 0.0; }
    return;
  }
  let row = p * params.dim;
  var i = 0u;
  while (i < params.dim) {
    let kind = u32(space[i]);
    let x = rows[row + i];
    var size = 1u;
    if (kind == 0u) {
      put(i, p, x);
    } else if (kind == 1u) {
      put(i, p, log_ratio(x - space[params.dim + i], space[2u * params.dim + i] - x));
    } else if (kind == 2u) {
      put(i, p, log_ratio(x, 1.0));
    } else if (kind == 4u) {
      let turns = (x - space[params.dim + i]) / space[2u * params.dim + i];
      put(i, p, ${turn}.0 * (turns - floor(turns) - 0.5));
    } else if (kind == 5u) {
      put(i, p, ordinate(x));
    } else {
      size = u32(space[params.dim + i]);
      var rest = 1.0;
      for (var j = 0u; j < size; j++) { rest -= rows[row + i + j]; }
      for (var j = 0u; j < size; j++) { put(i + j, p, log_ratio(rows[row + i + j], rest)); }
    }
    i += size;
  }
}
`,
  }),
);

/** See {@link importBoundKernel}. */
export function importBound(o: {
  count: number;
  capacity: number;
  dim: number;
  rows: string;
  affine: string;
  space: string;
  state: string;
}): Dispatch {
  const { count, capacity, dim, rows, affine, space, state } = o;
  return dispatchOf(importBoundKernel({}), {
    params: { count, capacity, dim },
    buffers: { rows, affine, space, state },
    ...perParticle(capacity, dim * 30),
  });
}
