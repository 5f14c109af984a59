import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { drawParams, random } from "./random.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel with one invocation per particle. */
export const particleWorkgroup = 64;

/** The attributes, the parameters and the first line of such a kernel. */
export const particle = wgsl`@compute @workgroup_size(${particleWorkgroup})`;
export const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";
export const index = wgsl`let p = id.x + id.y * groups.x * ${particleWorkgroup}u;`;

/** Rows [n][dim] from outside → state [dim][capacity]; padding particles become zero. With `affine`, of three rows: ((x − mean) − rest of the mean)/scale. */
export const importKernel = oncePerShape(({ affine }: { affine: boolean }) =>
  kernel({
    label: affine ? "import normalized particles" : "import particles",
    entryPoint: "import_particles",
    params: { count: "u32", capacity: "u32", dim: "u32" },
    buffers: { rows: read("array<f32>"), state: write("array<f32>"), affine: affine && read("array<f32>") },
    code: wgsl`
${particle}
fn import_particles${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) {
    var value = 0.0;
    if (p < params.count) { value = rows[p * params.dim + i]; }
#if ${affine}
    value = ((value - affine[i]) - affine[2u * params.dim + i]) / affine[params.dim + i];
#endif
    state[i * params.capacity + p] = value;
  }
}
`,
  }),
);

/**
 * State [dim][capacity] → rows [n][dim], starting at row `offset` of the output. With `affine`, of three rows:
 * mean + (rest of the mean + scale·x).
 */
export const exportKernel = oncePerShape(({ affine }: { affine: boolean }) =>
  kernel({
    label: affine ? "export particles in data units" : "export particles",
    entryPoint: "export_particles",
    params: { count: "u32", capacity: "u32", dim: "u32", offset: "u32" },
    buffers: { state: read("array<f32>"), rows: write("array<f32>"), affine: affine && read("array<f32>") },
    code: wgsl`
${particle}
fn export_particles${signature} {
  ${index}
  if (p >= params.count) { return; }
  for (var i = 0u; i < params.dim; i++) {
    var value = state[i * params.capacity + p];
#if ${affine}
    value = affine[i] + fma(value, affine[params.dim + i], affine[2u * params.dim + i]);
#endif
    rows[(params.offset + p) * params.dim + i] = value;
  }
}
`,
  }),
);

/** The distributions that particles may start from. */
export type SourceKind = "gaussian" | "uniform";

/**
 * Draws X_0 for particles first, first + 1, … : mean + std·normal, or low + (high − low)·uniform.
 * Buffer `source` holds two rows: mean, std or low, high. Value j of a particle is lane j mod 4 of draw j div 4.
 */
export const drawSourceKernel = oncePerShape(({ kind }: { kind: SourceKind }) =>
  kernel({
    label: `draw ${kind} source`,
    entryPoint: "draw_source",
    params: { capacity: "u32", dim: "u32", ...drawParams, stream: "u32" },
    buffers: { source: read("array<f32>"), state: write("array<f32>") },
    code: wgsl`
${random}

${particle}
fn draw_source${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  let low = params.first_low + p;
  let high = params.first_high + select(0u, 1u, low < p);
  for (var i = 0u; i < params.dim; i += 4u) {
    let bits = philox(vec4u(low, high, i / 4u, params.stream), vec2u(params.key_low, params.key_high));
#if ${kind === "gaussian"}
    let values = normal4(bits);
#else
    let values = vec4f(uniform01(bits.x), uniform01(bits.y), uniform01(bits.z), uniform01(bits.w));
#endif
    for (var j = 0u; j < 4u && i + j < params.dim; j++) {
      let a = source[i + j];
      let b = source[params.dim + i + j];
#if ${kind === "gaussian"}
      state[(i + j) * params.capacity + p] = fma(b, values[j], a);
#else
      state[(i + j) * params.capacity + p] = fma(b - a, values[j], a);
#endif
    }
  }
}
`,
  }),
);

/** log p_0 of the state: a diagonal Gaussian, or a uniform box (−∞ outside). Buffer `source` as in {@link drawSourceKernel}. */
export const sourceDensityKernel = oncePerShape(({ kind }: { kind: SourceKind }) =>
  kernel({
    label: `${kind} source log-density`,
    entryPoint: "source_density",
    params: { capacity: "u32", dim: "u32", constant: "f32" },
    buffers: { source: read("array<f32>"), state: read("array<f32>"), density: write("array<f32>") },
    code: wgsl`
${particle}
fn source_density${signature} {
  ${index}
  if (p >= params.capacity) { return; }
#if ${kind === "gaussian"}
  // −½ Σ ((x − mean)/std)² with Kahan's compensation: at dim 784 a plain f32 sum would lose three digits. A sum that has
  // overflowed has lost nothing: ∞ − ∞ would turn the density 0 of such a state into NaN
  var sum = 0.0;
  var lost = 0.0;
  for (var i = 0u; i < params.dim; i++) {
    let z = (state[i * params.capacity + p] - source[i]) / source[params.dim + i];
    let term = z * z - lost;
    let next = sum + term;
    lost = select((next - sum) - term, 0.0, bitcast<u32>(next) == 0x7f800000u);
    sum = next;
  }
  density[p] = fma(-0.5, sum, params.constant);
#else
  var inside = true;
  for (var i = 0u; i < params.dim; i++) {
    let x = state[i * params.capacity + p];
    inside = inside && x >= source[i] && x <= source[params.dim + i];
  }
  density[p] = select(bitcast<f32>(0xff800000u | (params.dim & 0u)), params.constant, inside);
#endif
}
`,
  }),
);

/**
 * log p at the end of a solve from the one known, base ± mean over probes of the integral I = −∫ div u dt, and
 * the standard error of that mean (K ≥ 2): √(Σ (I_k − Ī)² / (K − 1) / K).
 */
export const finishLogProbKernel = oncePerShape(({ standardError }: { standardError: boolean }) =>
  kernel({
    label: "finish log-probability",
    entryPoint: "finish_log_prob",
    params: { count: "u32", capacity: "u32", probes: "u32", sign: "f32", constant: "f32", offset: "u32" },
    buffers: {
      base: read("array<f32>"),
      integral: read("array<f32>"),
      log_prob: write("array<f32>"),
      standard_error: standardError && write("array<f32>"),
    },
    code: wgsl`
${particle}
fn finish_log_prob${signature} {
  ${index}
  if (p >= params.count) { return; }
  var sum = 0.0;
  for (var k = 0u; k < params.probes; k++) { sum += integral[k * params.capacity + p]; }
  let mean = sum / f32(params.probes);
  log_prob[params.offset + p] = base[p] + (params.sign * mean + params.constant);
#if ${standardError}
  var squares = 0.0;
  for (var k = 0u; k < params.probes; k++) {
    let difference = integral[k * params.capacity + p] - mean;
    squares = fma(difference, difference, squares);
  }
  standard_error[p] = sqrt(squares / (f32(params.probes) - 1.0) / f32(params.probes));
#endif
}
`,
  }),
);

/**
 * What class and context add to the first layer, per particle: offsets [branch][width][capacity] =
 * b_1 + W_1[:, label] + W_1[:, context]·context. Reads the flat parameters; rows beyond the layer's own width are zero.
 * Branch 0 is the null class when there are two, else the particle's label. A label of all ones is the null class.
 */
export const conditionKernel = oncePerShape(({ labels, context }: { labels: boolean; context: boolean }) =>
  kernel({
    label: "condition the first layer",
    entryPoint: "condition",
    params: {
      count: "u32",
      capacity: "u32",
      width: "u32",
      units: "u32",
      inputs: "u32",
      column: "u32",
      classes: "u32",
      context: "u32",
      branch: "u32",
      null_class: "u32",
    },
    buffers: {
      flat_weights: read("array<f32>"),
      offsets: write("array<f32>"),
      labels: labels && read("array<u32>"),
      context: context && read("array<f32>"),
    },
    code: wgsl`
${particle}
fn condition${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  let q = min(p, params.count - 1u);
  var label = 0xffffffffu;
#if ${labels}
  if (params.null_class == 0u) { label = labels[q]; }
#endif
  for (var j = 0u; j < params.width; j++) {
    var sum = 0.0;
    if (j < params.units) {
      let row = j * params.inputs + params.column;
      sum = flat_weights[params.units * params.inputs + j];
      if (label < params.classes) { sum += flat_weights[row + label]; }
#if ${context}
      for (var c = 0u; c < params.context; c++) {
        sum = fma(flat_weights[row + params.classes + c], context[q * params.context + c], sum);
      }
#endif
    }
    offsets[(params.branch * params.width + j) * params.capacity + p] = sum;
  }
}
`,
  }),
);
