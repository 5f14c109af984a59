import { bentActivationText } from "./curvature.ts";
import { type Kernel, oncePerShape } from "./kernel.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Invocations per workgroup of the kernels in this file; one invocation per vector of four numbers. */
export const bendWorkgroup = 64;

const head = wgsl`@compute @workgroup_size(${bendWorkgroup})`;
const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";
const element = wgsl`let i = id.x + id.y * groups.x * ${bendWorkgroup}u;
  if (i >= params.count) { return; }`;

const vectors = (name: string, binding: number, access: "read" | "read_write") =>
  `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<vec4f>;`;

/** φ, φ′ and φ″ of a layer's sums: what tangents and the gradient of the divergence need. Buffers: sums, value, slope, curvature. */
export const bendKernel = oncePerShape(
  ({ activation }: { activation: string }): Kernel => ({
    label: `bend (${activation})`,
    entryPoint: "bend",
    bindings: ["params", "read", "write", "write", "write"],
    code: wgsl`
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
${vectors("sums", 1, "read")}
${vectors("value", 2, "read_write")}
${vectors("slope", 3, "read_write")}
${vectors("curvature", 4, "read_write")}
${bentActivationText(activation, "vec4f")}

${head}
fn bend${signature} {
  ${element}
  let bent = activate_with_curvature(sums[i]);
  value[i] = bent.value;
  slope[i] = bent.slope;
  curvature[i] = bent.curvature;
}
`,
  }),
);

/** Tangents through the activation: ḣ_s = φ′ ż_s for every tangent. Buffers: slope, raw tangents, tangents. */
export const scaleTangentsKernel = oncePerShape(
  ({ tangents }: { tangents: number }): Kernel => ({
    label: `scale ${tangents} tangents`,
    entryPoint: "scale_tangents",
    bindings: ["params", "read", "read", "write"],
    code: wgsl`
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
${vectors("slope", 1, "read")}
${vectors("raw", 2, "read")}
${vectors("scaled", 3, "read_write")}

${head}
fn scale_tangents${signature} {
  ${element}
  let s = slope[i];
  ${lines(tangents, (t) => `scaled[${t}u * params.count + i] = s * raw[${t}u * params.count + i];`)}
}
`,
  }),
);

/**
 * The way back through an activation, for the value and its tangents: z̄ = φ′ h̄ + φ″ Σ_s ż_s ḣ̄_s and ż̄_s = φ′ ḣ̄_s.
 * Buffers: slope, curvature, raw tangents ż, ḣ̄ (becomes ż̄ in place), h̄ (becomes z̄ in place).
 */
export const coupleKernel = oncePerShape(
  ({ tangents }: { tangents: number }): Kernel => ({
    label: `couple ${tangents} tangents`,
    entryPoint: "couple",
    bindings: ["params", "read", "read", "read", "write", "write"],
    code: wgsl`
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
${vectors("slope", 1, "read")}
${vectors("curvature", 2, "read")}
${vectors("raw", 3, "read")}
${vectors("tangent_cotangents", 4, "read_write")}
${vectors("cotangents", 5, "read_write")}

${head}
fn couple${signature} {
  ${element}
  let s = slope[i];
  var sum = vec4f(0.0);
  ${lines(
    tangents,
    (t) => `{
    let at = ${t}u * params.count + i;
    let bar = tangent_cotangents[at];
    sum = fma(raw[at], bar, sum);
    tangent_cotangents[at] = s * bar;
  }`,
  )}
  cotangents[i] = fma(curvature[i], sum, s * cotangents[i]);
}
`,
  }),
);

/**
 * Both ends of the tangents of a pass: their input rows [tangents][inputs] (zero beyond x), and their cotangents δ v_s
 * [tangents][dim] at the output, zero for padding. Buffers: input rows, top rows, [probes [·][dim]].
 */
export const tangentEndsKernel = oncePerShape(
  ({ basis }: { basis: boolean }): Kernel => ({
    label: basis ? "ends of basis tangents" : "ends of probe tangents",
    entryPoint: "tangent_ends",
    bindings: basis ? ["params", "write", "write"] : ["params", "write", "write", "read"],
    code: wgsl`
struct Params { count: u32, particles: u32, dim: u32, inputs: u32, first: u32, tangents: u32, weight: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> top: array<f32>;
#if ${!basis}
@group(0) @binding(3) var<storage, read> probes: array<f32>;
#endif

${head}
fn tangent_ends${signature} {
  ${element}
  let weight = select(0.0, params.weight, i < params.particles);
  for (var s = 0u; s < params.tangents; s++) {
    for (var k = 0u; k < params.inputs; k++) {
      var v = 0.0;
      if (k < params.dim) {
#if ${basis}
        v = select(0.0, 1.0, k == params.first + s);
#else
        v = probes[((params.first + s) * params.dim + k) * params.count + i];
#endif
        top[(s * params.dim + k) * params.count + i] = weight * v;
      }
      rows[(s * params.inputs + k) * params.count + i] = v;
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
export const penaliseKernel = oncePerShape<Record<never, never>>(
  (): Kernel => ({
    label: "penalise",
    entryPoint: "penalise",
    bindings: ["params", "read", "read", "write", "write"],
    code: wgsl`
struct Params { count: u32, particles: u32, dim: u32, tangents: u32, twice: f32, energy: f32, jacobian: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> velocity: array<f32>;
@group(0) @binding(2) var<storage, read> products: array<f32>;
@group(0) @binding(3) var<storage, read_write> cotangent: array<f32>;
@group(0) @binding(4) var<storage, read_write> top: array<f32>;

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
