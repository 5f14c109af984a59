import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { type Numeric, read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { particle, particleWorkgroup, perParticle, signature } from "./particles.ts";
import { wgsl } from "./wgsl.ts";

const element = wgsl`let i = id.x + id.y * groups.x * ${particleWorkgroup}u;
  if (i >= params.count) { return; }`;

/**
 * Both ends of the tangents of a pass: their rows [tangents][dim], and their cotangents δ v_s
 * [tangents][dim] at the output, zero for padding. Buffers: input rows, top rows, [probes [·][dim]].
 */
export const tangentEndsKernel = oncePerShape(({ basis }: { basis: boolean }) =>
  kernel({
    label: basis ? "ends of basis tangents" : "ends of probe tangents",
    entryPoint: "tangent_ends",
    params: { count: "u32", particles: "u32", dim: "u32", first: "u32", tangents: "u32", weight: "f32" },
    buffers: { rows: write("array<f32>"), top: write("array<f32>"), probes: !basis && read("array<f32>") },
    code: wgsl`
${particle}
fn tangent_ends${signature} {
  ${element}
  let weight = select(0.0, params.weight, i < params.particles);
  for (var s = 0u; s < params.tangents; s++) {
    for (var k = 0u; k < params.dim; k++) {
#if ${basis}
      let v = select(0.0, 1.0, k == params.first + s);
#else
      let v = probes[((params.first + s) * params.dim + k) * params.count + i];
#endif
      let at = (s * params.dim + k) * params.count + i;
      top[at] = weight * v;
      rows[at] = v;
    }
  }
}
`,
  }),
);

/** Input rows and output cotangents of a pass's tangents; see {@link tangentEndsKernel}. */
export function planTangentEnds(o: {
  capacity: number;
  count: number;
  dim: number;
  first: number;
  tangents: number;
  weight: Numeric;
  names: { rows: string; top: string; probes?: string | undefined };
}): Dispatch {
  const { capacity, count, dim, first, tangents, weight } = o;
  const { rows, top, probes } = o.names;
  return dispatchOf(tangentEndsKernel({ basis: probes === undefined }), {
    params: { count: capacity, particles: count, dim, first, tangents, weight },
    buffers: { rows, top, probes },
    ...perParticle(capacity, 2 * tangents * dim),
  });
}

/**
 * Penalties energy·|u|² + jacobian·Σ_s |∂u/∂x v_s|² of each particle, added to row `row` of the cotangent of u, and 2/n of their
 * derivatives, added to the cotangents of u and of the tangents' outputs. Padding counts nothing. Buffers: u [dim], tangents' outputs
 * [tangents][dim], cotangent of u [row + 1], of those [tangents][dim].
 */
export const penaliseKernel = oncePerShape((_: object) =>
  kernel({
    label: "penalise",
    entryPoint: "penalise",
    params: {
      count: "u32",
      particles: "u32",
      dim: "u32",
      tangents: "u32",
      row: "u32",
      twice: "f32",
      energy: "f32",
      jacobian: "f32",
    },
    buffers: {
      velocity: read("array<f32>"),
      products: read("array<f32>"),
      cotangent: write("array<f32>"),
      top: write("array<f32>"),
    },
    code: wgsl`
${particle}
fn penalise${signature} {
  ${element}
  if (i >= params.particles) { return; }
  var sum = 0.0;
  for (var k = 0u; k < params.dim; k++) {
    let at = k * params.count + i;
    let u = velocity[at];
    cotangent[at] = fma(params.twice * params.energy, u, cotangent[at]);
    sum = fma(params.energy * u, u, sum);
  }
  for (var k = 0u; k < params.tangents * params.dim; k++) {
    let at = k * params.count + i;
    let product = products[at];
    top[at] = fma(params.twice * params.jacobian, product, top[at]);
    sum = fma(params.jacobian * product, product, sum);
  }
  cotangent[params.row * params.count + i] += sum;
}
`,
  }),
);

/** The penalties of "u" and "jv" [tangents][dim], and their cotangents; see {@link penaliseKernel}. */
export function planPenalise(o: {
  capacity: number;
  count: number;
  dim: number;
  tangents: number;
  /** The row of the penalties. */
  row: number;
  penalty: { energy: Numeric; jacobian: Numeric };
  names: { cotangent: string; top: string };
}): Dispatch {
  const { capacity, count, dim, tangents, row } = o;
  const { energy, jacobian } = o.penalty;
  return dispatchOf(penaliseKernel({}), {
    params: { count: capacity, particles: count, dim, tangents, row, twice: 2 / count, energy, jacobian },
    buffers: { velocity: "u", products: "jv", ...o.names },
    ...perParticle(capacity, 4 * dim * (1 + tangents)),
  });
}
