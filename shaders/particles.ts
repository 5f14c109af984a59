import { type Dispatch, dispatchOf, gridOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { drawIndex, drawNumbers, drawParams, random } from "./random.ts";
import type { SourceKind } from "./source-kinds.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations per workgroup of every kernel with one invocation per particle. */
export const particleWorkgroup = 64;

/** The attributes, the parameters and the first line of such a kernel. */
export const particle = wgsl`@compute @workgroup_size(${particleWorkgroup})`;

export const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";

export const index = wgsl`let p = id.x + id.y * groups.x * ${particleWorkgroup}u;`;

/** The size of its dispatch, with so much work for each particle. */
export const perParticle = (particles: number, work: number) => ({
  workgroups: gridOf(Math.ceil(particles / particleWorkgroup)),
  flops: particles * work,
});

/** The distributions that particles may start from, as a rule; source-parts.ts has the others. */
type PlainKind = "gaussian" | "uniform";

/**
 * Draws X_0 for particles first, first + 1, … : mean + std·normal, or low + (high − low)·uniform.
 * Buffer `source` holds two rows: mean, std or low, high. Value j of a particle is lane j mod 4 of draw j div 4.
 */
export const drawSourceKernel = oncePerShape(({ kind }: { kind: PlainKind }) =>
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
  ${drawIndex}
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

/** What a draw of the source takes. */
export interface SourceDraw {
  kind: SourceKind;
  parts: number;
  capacity: number;
  dim: number;
  first: number;
  key: readonly [number, number];
  stream: number;
  source: string;
  state: string;
}

/** X_0 of particles `first`, `first + 1`, … into `state`. */
function drawSource(o: SourceDraw): Dispatch {
  const { capacity, dim, stream, source, state } = o;
  return dispatchOf(drawSourceKernel({ kind: plain(o.kind) }), {
    params: { capacity, dim, stream, ...drawNumbers(o.first, o.key) },
    buffers: { source, state },
    ...perParticle(capacity, dim * 60),
  });
}

/**
 * Text that makes `sum` = Σ ((x − mean)/std)² of means and deviations from these elements of the source on, with Kahan's compensation: at
 * dim 784 a plain f32 sum would lose three digits. A sum that has overflowed has lost nothing: ∞ − ∞ would turn the density 0 of such a
 * state into NaN.
 */
export const scaledSquares = (means: string, deviations: string) => wgsl`var sum = 0.0;
  var lost = 0.0;
  for (var i = 0u; i < params.dim; i++) {
    let z = (state[i * params.capacity + p] - source[${means} + i]) / source[${deviations} + i];
    let term = z * z - lost;
    let next = sum + term;
    lost = select((next - sum) - term, 0.0, bitcast<u32>(next) == 0x7f800000u);
    sum = next;
  }`;

/** log p_0 of the state: a diagonal Gaussian, or a uniform box (−∞ outside). Buffer `source` as in {@link drawSourceKernel}. */
export const sourceDensityKernel = oncePerShape(({ kind }: { kind: PlainKind }) =>
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
  ${scaledSquares("0u", "params.dim")}
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

/** What the density of the source takes; `constant` is the part that does not depend on x. */
export interface SourceDensity {
  kind: SourceKind;
  parts: number;
  capacity: number;
  dim: number;
  constant: number;
  source: string;
  state: string;
  density: string;
}

/** log p_0 of `state` into `density`. */
function sourceDensity(o: SourceDensity): Dispatch {
  const { capacity, dim, constant, source, state, density } = o;
  return dispatchOf(sourceDensityKernel({ kind: plain(o.kind) }), {
    params: { capacity, dim, constant },
    buffers: { source, state, density },
    ...perParticle(capacity, dim * 8),
  });
}

/** How a source is drawn from, and its density. */
export interface SourceKernels {
  drawSource(o: SourceDraw): Dispatch;
  sourceDensity(o: SourceDensity): Dispatch;
}

const plain = (kind: SourceKind) => kind as PlainKind;

/** Of the plain kinds. */
export const plainSources: SourceKernels = { drawSource, sourceDensity };

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

/** log p = base + (sign · mean over probes of the integral + constant), written from element `offset` of `logProb` on. */
export function finishLogProb(o: {
  count: number;
  capacity: number;
  probes: number;
  sign: 1 | -1;
  constant: number;
  offset?: number;
  base: string;
  integral: string;
  logProb: string;
  standardError?: string | undefined;
}): Dispatch {
  const { count, capacity, probes, sign, constant, offset = 0, base, integral, logProb, standardError } = o;
  return dispatchOf(finishLogProbKernel({ standardError: standardError !== undefined }), {
    params: { count, capacity, probes, sign, constant, offset },
    buffers: { base, integral, log_prob: logProb, standard_error: standardError },
    ...perParticle(count, probes * 6),
  });
}
