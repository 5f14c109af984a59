import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations per workgroup of the kernels in this file; one invocation per particle. */
export const endsWorkgroup = 64;

const head = wgsl`@compute @workgroup_size(${endsWorkgroup})`;
const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";
const element = wgsl`let i = id.x + id.y * groups.x * ${endsWorkgroup}u;
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
${head}
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

/**
 * Penalties energy·|u|² + jacobian·Σ_s |∂u/∂x v_s|² of each particle, added to row `dim` of the cotangent of u, and 2/n of their
 * derivatives, added to the cotangents of u and of the tangents' outputs. Padding counts nothing. Buffers: u [dim], tangents' outputs
 * [tangents][dim], cotangent of u [dim + 1], of those [tangents][dim].
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
${head}
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
  cotangent[params.dim * params.count + i] += sum;
}
`,
  }),
);
