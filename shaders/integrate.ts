import {
  type DivergenceText,
  declare,
  type FusedField,
  fieldBuffers,
  fieldDeclarations,
  forEach,
  type JacobianTexts,
  tableColumn,
  velocityAndDivergenceText,
  velocityText,
} from "./field.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { stageStruct } from "./stage-row.ts";
import { splat, type Tiling, vectorType } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** What a fused integrator is made for. The tableau and the times are data that the kernel reads. */
export interface IntegrateShape {
  readonly field: FusedField;
  readonly tiling: Tiling;
  /** Stages of the Runge–Kutta method. */
  readonly stages: number;
  readonly divergence: DivergenceText;
  /** Whether some stage has weight 0 in the tableau, so that it needs no divergence (the first of midpoint). */
  readonly freeStages: boolean;
  /** Whether the velocity of the first of two stages is kept, for the gradient of a step. */
  readonly keeps?: true;
}

/** The params of the fused kernels; `slots` and `first` count groups of particles that share an index. `zero` is 0: no compiler knows. */
export const fusedParams = {
  first: "u32",
  slots: "u32",
  stride: "u32",
  first_step: "u32",
  last_step: "u32",
  probes: "u32",
  branches: "u32",
  weight_null: "f32",
  weight_label: "f32",
  null_first: "u32",
  first_row: "u32",
  zero: "u32",
} as const;

/** What an integrator reads and writes: rows of particles, and `schedule` with a row per step and stage. */
export function integrateBuffers({ field, tiling, divergence, keeps }: IntegrateShape) {
  const rows = `array<${vectorType(tiling)}>`;
  return {
    ...fieldBuffers(field, tiling),
    schedule: read("array<PfStage>"),
    state: write(rows),
    integral: divergence.mode !== "none" && write(rows),
    probes: divergence.mode === "probes" && read(rows),
    kept: keeps === true && write(rows),
  };
}

/** Text that finds the invocation's particles: at{g} is the index of particle vector g within a row of `stride` vectors. */
function particlesText(tiling: Tiling): string {
  return `let pf_index = pf_id.x + pf_id.y * pf_groups.x * ${tiling.workgroupSize}u;
let is_active = pf_index < pf_params.slots;
// Surplus invocations repeat the last slot and store nothing, so that subgroups stay whole.
let slot = pf_params.first + min(pf_index, pf_params.slots - 1u);
${lines(tiling.groups, (g) => `let at${g} = slot * ${tiling.groups}u + ${g}u;`)}`;
}

function entry(name: string, tiling: Tiling): string {
  return `@compute @workgroup_size(${tiling.workgroupSize})
fn ${name}(
  @builtin(global_invocation_id) pf_id: vec3u,
  @builtin(num_workgroups) pf_groups: vec3u,${tiling.gather > 0 ? "\n  @builtin(subgroup_invocation_id) pf_lane: u32," : ""}
)`;
}

const enables = ({ half, gather }: Tiling) => [...(half ? ["f16"] : []), ...(gather > 0 ? ["subgroups"] : [])];

/** Characters of a stage's text below which it counts as short. */
const shortText = 10_000;

/**
 * Steps of an explicit Runge–Kutta method for a slice of particles: x⁺ = x + Σ h b_i k_i, k_i = u(t + c_i h, x + Σ h a_ij k_j),
 * and with it I⁺ = I − Σ h b_i div u at the stages' own states (Chen et al. 2018, eq. 8; docs/mathematics.md, Likelihood).
 * Buffers: state [dim][stride], integral [probes][stride], kept [dim][stride]; the Jacobian of the last step is left behind the state,
 * [dim][dim], and that of the first stage behind what is kept.
 */
export const integrateKernel = oncePerShape((shape: IntegrateShape) => {
  const { field, tiling, stages, divergence } = shape;
  const { dim } = field;
  const v = vectorType(tiling);
  const tracks = divergence.mode !== "none";
  const probes = divergence.mode === "probes";

  const jacobian = divergence.mode === "discrete" ? divergence.texts(field, tiling, stages) : undefined;
  const of = (place: keyof ReturnType<JacobianTexts>) => (jacobian ? jacobian[place] : "");
  // a stage without a weight has no text of its own where the text of the others can leave out its tangents
  const needed = tiling.turns && shape.freeStages ? "row.weight != 0.0" : undefined;
  const whereNeeded = (text: string) => (needed === undefined ? text : `if (${needed}) {\n${text}\n}`);
  const minusWeight = splat(tiling, "-row.weight");
  const withDivergence = jacobian
    ? ""
    : velocityAndDivergenceText(
        field,
        tiling,
        divergence,
        (g, probe, estimate) => {
          const place = `pf_integral[${probe} * pf_params.stride + at${g}]`;
          return whereNeeded(`if (is_active) { ${place} = fma(${minusWeight}, ${estimate}, ${place}); }`);
        },
        needed,
      );
  const track = probes
    ? withDivergence
    : `${withDivergence}\n${whereNeeded(lines(tiling.groups, (g) => `integral${g} = fma(${minusWeight}, div${g}, integral${g});`))}`;
  const stageText = () => {
    if (jacobian) return jacobian.stage;
    if (tracks && (needed !== undefined || !shape.freeStages)) return track;
    const plain = velocityText(field, tiling);
    return tracks ? `if (row.weight != 0.0) {\n${track}\n} else {\n${plain}\n}` : plain;
  };

  const stage = stageText();
  // of short texts a compiler may write the turns of a loop behind each other, and then adds in another order, unless it does not know
  // how many they are; where they are long that costs some hundredths
  const loop =
    stages > 1 && field.kind !== "wgsl" && (tiling.turns || stage.length < shortText)
      ? {
          begin: "var stage = 0u;\nloop {",
          end: `continuing {\nstage++;\nbreak if stage >= ${stages}u + (pf_params.last_step >> 31u);\n}\n}`,
        }
      : { begin: `for (var stage = 0u; stage < ${stages}u; stage++) {`, end: "}" };

  const code = `${stageStruct(stages)}
${fieldDeclarations(field, tiling)}
${of("declarations")}

${entry("integrate", tiling)} {
${particlesText(tiling)}
${forEach(tiling, dim, (g, i) => `var x${g}_${i} = pf_state[${i}u * pf_params.stride + at${g}];`)}
${declare(tiling, dim, "y")}
${declare(tiling, dim, "u")}
${lines(stages - 1, (s) => declare(tiling, dim, `k${s}_`))}
${tracks && !probes ? lines(tiling.groups, (g) => `var integral${g} = pf_integral[at${g}];\nvar div${g}: ${v};`) : ""}
${of("state")}
for (var step = pf_params.first_step; step < pf_params.last_step; step++) {
// d = Σ h b_i k_i is summed before it meets x, which is larger
${forEach(tiling, dim, (g, i) => `var d${g}_${i} = ${v}(0.0);`)}
${of("begin")}
${loop.begin}
let row = pf_schedule[step * ${stages}u + stage];
${lines(tiling.groups, (g) => `let time${g} = ${splat(tiling, "row.time")};`)}
${tableColumn(field, tiling, `step * ${stages}u + stage - pf_params.first_row`)}
${forEach(tiling, dim, (g, i) => {
  let y = `x${g}_${i}`;
  for (let s = 0; s < stages - 1; s++) y = `fma(${splat(tiling, `row.a${s}`)}, k${s}_${g}_${i}, ${y})`;
  return `y${g}_${i} = ${y};`;
})}
${stage}
${forEach(tiling, dim, (g, i) => `d${g}_${i} = fma(${splat(tiling, "row.weight")}, u${g}_${i}, d${g}_${i});`)}
${lines(stages - 1, (s) => `if (stage == ${s}u) {\n${forEach(tiling, dim, (g, i) => `k${s}_${g}_${i} = u${g}_${i};`)}\n}`)}
${loop.end}
${forEach(tiling, dim, (g, i) => `x${g}_${i} += d${g}_${i};`)}
${of("end")}
}
if (is_active) {
${of("store")}
${shape.keeps ? `${of("keep")}\n${forEach(tiling, dim, (g, i) => `pf_kept[${i}u * pf_params.stride + at${g}] = k0_${g}_${i};`)}` : ""}
${forEach(tiling, dim, (g, i) => `pf_state[${i}u * pf_params.stride + at${g}] = x${g}_${i};`)}
${tracks && !probes ? lines(tiling.groups, (g) => `pf_integral[at${g}] = integral${g};`) : ""}
}
}
`;
  return kernel({
    label: `integrate ${labelOf(shape)}${shape.keeps ? ", first stage kept" : ""}`,
    entryPoint: "integrate",
    enable: enables(tiling),
    prefix: "pf_",
    params: fusedParams,
    buffers: integrateBuffers(shape),
    code: wgsl`${code}`,
  });
});

/** What a fused evaluation writes. */
export type EvaluateOutput = "velocity" | "divergence" | "both" | "jvp";

export interface EvaluateShape {
  readonly field: FusedField;
  readonly tiling: Tiling;
  readonly output: EvaluateOutput;
  readonly divergence: DivergenceText;
}

/** Whether an evaluation knows the time by the first column of its table: it is the same for all particles. */
export const isAtOneTime = (field: FusedField): boolean => field.kind === "network" && field.atOneTime;

/** What an evaluation reads and writes: rows of particles. */
export function evaluateBuffers({ field, tiling, output, divergence }: EvaluateShape) {
  const rows = `array<${vectorType(tiling)}>`;
  const tracks = output === "divergence" || output === "both";
  return {
    ...fieldBuffers(field, tiling),
    state: read(rows),
    times: !isAtOneTime(field) && read(rows),
    velocity: output !== "divergence" && write(rows),
    divergence: tracks && write(rows),
    probes: tracks && divergence.mode === "probes" && read(rows),
    tangent: output === "jvp" && read(rows),
    product: output === "jvp" && write(rows),
  };
}

/**
 * The velocity, the divergence (mean over probes where there are any), both (each probe's divergence by itself) or J·v at given
 * states and times. Buffers: state, velocity, tangent, product [dim][stride], times [stride], divergence [stride], of both
 * [probes or 1][stride].
 */
export const evaluateKernel = oncePerShape((shape: EvaluateShape) => {
  const { field, tiling, output, divergence } = shape;
  const { dim } = field;
  const v = vectorType(tiling);
  const at = (i: number, g: number) => `[${i}u * pf_params.stride + at${g}]`;
  const storeVelocity = forEach(tiling, dim, (g, i) => `pf_velocity${at(i, g)} = u${g}_${i};`);
  const body = {
    velocity: () => `${velocityText(field, tiling)}\nif (is_active) {\n${storeVelocity}\n}`,
    divergence: () => `${lines(tiling.groups, (g) => `var div${g} = ${v}(0.0);`)}
${velocityAndDivergenceText(field, tiling, divergence, (g, _probe, estimate) => `div${g} += ${estimate};`)}
if (is_active) {
${lines(tiling.groups, (g) =>
  divergence.mode === "probes"
    ? `pf_divergence[at${g}] = div${g} / ${splat(tiling, "f32(pf_params.probes)")};`
    : `pf_divergence[at${g}] = div${g};`,
)}
}`,
    both: () => `${lines(tiling.groups, (g) => `var div${g}: ${v};`)}
${velocityAndDivergenceText(
  field,
  tiling,
  divergence,
  (g, probe, estimate) => `if (is_active) { pf_divergence[${probe} * pf_params.stride + at${g}] = ${estimate}; }`,
)}
if (is_active) {
${storeVelocity}
${divergence.mode === "probes" ? "" : lines(tiling.groups, (g) => `pf_divergence[at${g}] = div${g};`)}
}`,
    jvp: () => `${forEach(tiling, dim, (g, i) => `let v1_${g}_${i} = pf_tangent${at(i, g)};\nvar jv1_${g}_${i}: ${v};`)}
${velocityText(field, tiling, { count: 1, kind: "given" })}
if (is_active) {
${storeVelocity}
${forEach(tiling, dim, (g, i) => `pf_product${at(i, g)} = jv1_${g}_${i};`)}
}`,
  }[output]();
  const code = `${fieldDeclarations(field, tiling)}

${entry("evaluate", tiling)} {
${particlesText(tiling)}
${forEach(tiling, dim, (g, i) => `let y${g}_${i} = pf_state${at(i, g)};`)}
${isAtOneTime(field) ? tableColumn(field, tiling) : lines(tiling.groups, (g) => `let time${g} = pf_times[at${g}];`)}
${declare(tiling, dim, "u")}
${body}
}
`;
  return kernel({
    label: `evaluate ${output} ${labelOf(shape)}`,
    entryPoint: "evaluate",
    enable: enables(tiling),
    prefix: "pf_",
    params: fusedParams,
    buffers: evaluateBuffers(shape),
    code: wgsl`${code}`,
  });
});

/** What a fused kernel is, for messages. */
export function labelOf({
  field,
  tiling,
  divergence,
}: {
  field: FusedField;
  tiling: Tiling;
  divergence: DivergenceText;
}): string {
  const network =
    field.kind === "mlp"
      ? `mlp ${field.dim}→${field.layers}×${field.width} ${field.activation}`
      : `${field.kind} ${field.dim}`;
  const tiles = `${tiling.lanes * tiling.groups}×${tiling.outputs}${tiling.gather ? " gather" : ""} ${tiling.keep} ${tiling.space}${tiling.half ? " f16" : ""}${tiling.turns ? " turns" : ""}`;
  return `${network}, divergence ${divergence.mode}, ${tiles}`;
}
