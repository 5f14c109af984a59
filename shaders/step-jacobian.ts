import { item } from "../src/must.ts";
import { ln2, logarithm, sqrtHalfBits } from "../src/random/polynomials.ts";
import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { declare, type FusedField, forEach, type JacobianTexts, velocityText } from "./field.ts";
import { type Numeric, numbered, read, several, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { groupsOf, mostBuffers } from "./stages.ts";
import { splat, type Tiling, vectorType } from "./tiling.ts";
import { f32, horner, lines, range, wgsl } from "./wgsl.ts";

/*
 * The Jacobian A = I + D of a Runge–Kutta step and log|det A| (docs/mathematics.md, The likelihood of the steps themselves): tangents
 * V_i = I + h Σ_j a_ij K_j go along with the stages, K_i = J(y_i) V_i, D = h Σ b_i K_i. A matrix is [dim][dim], column s first.
 */

/** Largest dim whose determinants are written out. */
export const largestMatrix = 3;

/** det(I + D) − 1 by the principal minors of D, which loses nothing where D is small. `d(s, i)` is row i of column s. */
export function determinantLessOne(dim: number, d: (s: number, i: number) => string): string {
  const minor = (a: number, b: number) => `(${d(a, a)} * ${d(b, b)} - ${d(a, b)} * ${d(b, a)})`;
  if (dim === 1) return d(0, 0);
  if (dim === 2) return `(${d(0, 0)} + ${d(1, 1)}) + ${minor(0, 1)}`;
  const across = (a: number, b: number, c: number) =>
    `${d(0, a)} * (${d(1, b)} * ${d(2, c)} - ${d(2, b)} * ${d(1, c)})`;
  return `((${d(0, 0)} + ${d(1, 1)}) + ${d(2, 2)}) + ((${minor(0, 1)} + ${minor(0, 2)}) + ${minor(1, 2)}) + (${across(0, 1, 2)} + ${across(1, 2, 0)} + ${across(2, 0, 1)})`;
}

/**
 * WGSL: `pf_log_size(e) -> log|1 + e|` for particles of type `v`. The exponent by the bits, a polynomial on the mantissa in [√½, √2), and
 * on e itself where 1 + e lies there: WGSL's own logarithm is good to 2⁻²¹ near 1, once for every step. NaN stays NaN, 0 gives −∞.
 */
export function logSizeText(v: string): string {
  const [u, s] = v === "f32" ? ["u32", "i32"] : [v.replace("f", "u"), v.replace("f", "i")];
  return wgsl`fn pf_log_size(e: ${v}) -> ${v} {
  let sum = 1.0 + e;
  let size = abs(sum);
  let bits = bitcast<${u}>(size);
  let offset = bitcast<${s}>(size) - ${s}(${sqrtHalfBits});
  let exponent = offset >> ${u}(23u);
  let mantissa = bitcast<${v}>((offset & ${s}(0x7fffff)) + ${s}(${sqrtHalfBits})) - 1.0;
  let f = select(mantissa, e, (exponent == ${s}(0)) & (sum > ${v}(0.0)));
  let power = ${v}(exponent);
  let square = f * f;
  let tail = square * f * ${horner(logarithm, "f")} + (power * ${f32(ln2.low)} - 0.5 * square);
  let value = power * ${f32(ln2.high)} + (f + tail);
  let least = bitcast<${v}>(${u}(0xff800000u) | (bits & ${u}(0u)));
  return select(select(value, least, bits < ${u}(0x00800000u)), size, bits >= ${u}(0x7f800000u));
}`;
}

/** The texts for the integrator of integrate.ts: matrices are pf_D{s}_{g}_{i} and pf_K{stage}_{s}_{g}_{i}. */
export const jacobianTexts: JacobianTexts = (field: FusedField, tiling: Tiling, stages: number) => {
  const { dim } = field;
  const v = vectorType(tiling);
  const each = (text: (s: number, g: number, i: number) => string) =>
    lines(dim, (s) => forEach(tiling, dim, (g, i) => text(s, g, i)));
  const earlier = range(stages - 1);
  const row = (rows: string, s: number, g: number, i: number) =>
    `${rows}[${dim * (1 + s) + i}u * pf_params.stride + at${g}]`;
  return {
    declarations: logSizeText(v),
    state: [
      ...range(dim).map((s) => declare(tiling, dim, `pf_D${s}_`)),
      ...earlier.flatMap((stage) => range(dim).map((s) => declare(tiling, dim, `pf_K${stage}_${s}_`))),
    ].join("\n"),
    begin: each((s, g, i) => `pf_D${s}_${g}_${i} = ${v}(0.0);`),
    stage: `{
${each((s, g, i) => {
  let tangent = `${v}(${s === i ? "1.0" : "0.0"})`;
  for (const j of earlier) tangent = `fma(${splat(tiling, `row.a${j}`)}, pf_K${j}_${s}_${g}_${i}, ${tangent})`;
  return `let v${s + 1}_${g}_${i} = ${tangent};\nvar jv${s + 1}_${g}_${i}: ${v};`;
})}
${velocityText(field, tiling, { count: dim, kind: "given" })}
${each((s, g, i) => `pf_D${s}_${g}_${i} = fma(${splat(tiling, "row.weight")}, jv${s + 1}_${g}_${i}, pf_D${s}_${g}_${i});`)}
${earlier.map((j) => `if (stage == ${j}u) {\n${each((s, g, i) => `pf_K${j}_${s}_${g}_${i} = jv${s + 1}_${g}_${i};`)}\n}`).join("\n")}
}`,
    end: lines(
      tiling.groups,
      (g) => `integral${g} -= pf_log_size(${determinantLessOne(dim, (s, i) => `pf_D${s}_${g}_${i}`)});`,
    ),
    store: each((s, g, i) => `${row("pf_state", s, g, i)} = pf_D${s}_${g}_${i};`),
    keep: each((s, g, i) => `${row("pf_kept", s, g, i)} = pf_K0_${s}_${g}_${i};`),
  };
};

/** Tangents of a stage, V = I + Σ h a_j K_j, or more of the sum; K_j lies behind the velocity of its stage. */
export const stageMatrixKernel = oncePerShape(({ previous, add }: { previous: number; add: boolean }) =>
  kernel({
    label: `tangents of a stage after ${previous} stages${add ? ", added" : ""}`,
    entryPoint: "stage_matrix",
    params: { capacity: "u32", dim: "u32", ...several("a", previous, "f32") },
    buffers: { matrix: write("array<f32>"), ...several("k", previous, read("array<f32>")) },
    code: wgsl`
${particle}
fn stage_matrix${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var e = 0u; e < params.dim * params.dim; e++) {
    let at = e * params.capacity + p;
    let from_stage = at + params.dim * params.capacity;
    var v = ${add ? "matrix[at]" : "select(0.0, 1.0, e % (params.dim + 1u) == 0u)"};
    ${lines(previous, (j) => `v = fma(params.a${j}, k${j}[from_stage], v);`)}
    matrix[at] = v;
  }
}
`,
  }),
);

/** The tangents of a stage into `matrix` [dim][dim], from stages [1 + dim][dim] before it. */
export function planStageMatrix(o: {
  capacity: number;
  dim: number;
  a: readonly Numeric[];
  ks: readonly string[];
  matrix: string;
}): Dispatch[] {
  const { capacity, dim, matrix } = o;
  return groupsOf(o.ks.length, mostBuffers - 1, mostBuffers - 1).map(([start, end]) => {
    const ks = o.ks.slice(start, end);
    return dispatchOf(stageMatrixKernel({ previous: ks.length, add: start > 0 }), {
      params: { capacity, dim, ...numbered("a", o.a.slice(start, end)) },
      buffers: { matrix, ...numbered("k", ks) },
      ...perParticle(capacity, 2 * dim * dim * (1 + ks.length)),
    });
  });
}

/** D = Σ h b_i K_i into the rows behind the state, or more of the sum; at its end −log|det(I + D)| is added to the integral. */
export const stepJacobianKernel = oncePerShape(
  ({ dim, stages, begin, end }: { dim: number; stages: number; begin: boolean; end: boolean }) =>
    kernel({
      label: `Jacobian of a step of dim ${dim}, ${stages} stages${begin ? "" : " more"}${end ? " and its determinant" : ""}`,
      entryPoint: "step_jacobian",
      params: { capacity: "u32", ...several("b", stages, "f32") },
      buffers: {
        state: write("array<f32>"),
        integral: end && write("array<f32>"),
        ...several("k", stages, read("array<f32>")),
      },
      code: wgsl`
${end ? logSizeText("f32") : ""}
${particle}
fn step_jacobian${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  ${lines(dim * dim, (e) => {
    const at = `${dim + e}u * params.capacity + p`;
    return `var d${e} = ${begin ? "0.0" : `state[${at}]`};
  ${lines(stages, (j) => `d${e} = fma(params.b${j}, k${j}[${at}], d${e});`)}
  state[${at}] = d${e};`;
  })}
  ${end ? `integral[p] -= pf_log_size(${determinantLessOne(dim, (s, i) => `d${s * dim + i}`)});` : ""}
}
`,
    }),
);

/** The end of a step for its Jacobian: D behind `state`, log|det(I + D)| off `integral`. */
export function planStepJacobian(o: {
  capacity: number;
  dim: number;
  b: readonly Numeric[];
  ks: readonly string[];
  state: string;
  integral: string;
}): Dispatch[] {
  const { capacity, dim, state } = o;
  const groups = groupsOf(o.ks.length, mostBuffers - 2, mostBuffers - 2);
  return groups.map(([start, end], n) => {
    const ks = o.ks.slice(start, end);
    const isEnd = n === groups.length - 1;
    return dispatchOf(stepJacobianKernel({ dim, stages: ks.length, begin: start === 0, end: isEnd }), {
      params: { capacity, ...numbered("b", o.b.slice(start, end)) },
      buffers: { state, integral: isEnd ? o.integral : undefined, ...numbered("k", ks) },
      ...perParticle(capacity, 2 * dim * dim * ks.length + 30),
    });
  });
}

/** What stands for no least determinant: every finite one is at least that. */
const noLeast = -3e38;

/**
 * Takes the logarithm of det(I + D), D in the rows behind a state, off the integral; of a determinant below `least` by the tangent there,
 * log least + det/least − 1. The first of several steps begins the integral.
 */
export const stepDeterminantKernel = oncePerShape(({ dim, begin }: { dim: number; begin: boolean }) =>
  kernel({
    label: `determinant of a step of dim ${dim}, kept from folding${begin ? "" : ", added"}`,
    entryPoint: "step_determinant",
    params: { capacity: "u32", least: "f32", slope: "f32", offset: "f32" },
    buffers: { state: read("array<f32>"), integral: write("array<f32>") },
    code: wgsl`
${logSizeText("f32")}
${particle}
fn step_determinant${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  ${lines(dim * dim, (e) => `let d${e} = state[${dim + e}u * params.capacity + p];`)}
  let e = ${determinantLessOne(dim, (s, i) => `d${s * dim + i}`)};
  let value = select(pf_log_size(e), fma(params.slope, 1.0 + e, params.offset), 1.0 + e < params.least);
  integral[p] = ${begin ? "0.0" : "integral[p]"} - value;
}
`,
  }),
);

/** The logarithms of the determinants behind `states`, off `integral`, which holds nothing else. */
export function planStepDeterminants(o: {
  capacity: number;
  dim: number;
  least: number;
  states: readonly string[];
  integral: string;
}): Dispatch[] {
  const { capacity, dim, least, states, integral } = o;
  return states.map((state, k) =>
    dispatchOf(stepDeterminantKernel({ dim, begin: k === 0 }), {
      params: { capacity, least, slope: 1 / least, offset: Math.log(least) - 1 },
      buffers: { state, integral },
      ...perParticle(capacity, 4 * dim * dim + 30),
    }),
  );
}

/**
 * −scale·∂ log|det(I + D)|/∂D = −scale·(I + D)⁻ᵀ, from the rows behind a state into those behind an adjoint; padding counts nothing. Below
 * `least` the slope of the logarithm is that of its tangent there, 1/least.
 */
export const determinantAdjointKernel = oncePerShape(({ dim }: { dim: number }) => {
  const a = (s: number, i: number) => `a${s * dim + i}`;
  const others = (k: number) => range(dim).filter((j) => j !== k);
  /** The cofactor of row i of column s. */
  const cofactor = (s: number, i: number) => {
    const [columns, rows] = [others(s), others(i)];
    const sign = (s + i) % 2 === 0 ? "" : "-";
    if (dim === 1) return "1.0";
    const of = (m: number, n: number) => a(item(columns, m), item(rows, n));
    if (dim === 2) return `${sign}${of(0, 0)}`;
    return `${sign}(${of(0, 0)} * ${of(1, 1)} - ${of(0, 1)} * ${of(1, 0)})`;
  };
  return kernel({
    label: `adjoint of the determinant of a step of dim ${dim}`,
    entryPoint: "determinant_adjoint",
    params: { capacity: "u32", count: "u32", scale: "f32", least: "f32" },
    buffers: { state: read("array<f32>"), adjoint: write("array<f32>") },
    code: wgsl`
${particle}
fn determinant_adjoint${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  ${lines(dim * dim, (e) => `let d${e} = state[${dim + e}u * params.capacity + p];\n  let a${e} = ${e % (dim + 1) === 0 ? "1.0 + " : ""}d${e};`)}
  let own = 1.0 + (${determinantLessOne(dim, (s, i) => `d${s * dim + i}`)});
  let determinant = select(own, params.least, own < params.least);
  ${lines(dim, (s) => lines(dim, (i) => `adjoint[${dim * (1 + s) + i}u * params.capacity + p] = select(0.0, -params.scale * ((${cofactor(s, i)}) / determinant), p < params.count);`))}
}
`,
  });
});

export function planDeterminantAdjoint(o: {
  capacity: number;
  count: number;
  dim: number;
  scale: number;
  /** 0: none. */
  least: number;
  state: string;
  adjoint: string;
}): Dispatch {
  const { capacity, count, dim, scale, least, state, adjoint } = o;
  return dispatchOf(determinantAdjointKernel({ dim }), {
    params: { capacity, count, scale, least: least || noLeast },
    buffers: { state, adjoint },
    ...perParticle(capacity, 12 * dim * dim),
  });
}
