import { f32, horner } from "./wgsl.ts";

/** erfc(x)·exp(x²) = t·P(t), t = 1/(1 + 0.3x), for x ≥ 0: our own minimax-like fit of degree 8, relative error 2e-8. */
const erfcPole = 0.3;
const erfcCoefficients = [
  0.16918961, 0.17069194, 0.14848242, 0.21443631, -0.0936313, 0.5463951, -0.5112265, 0.48509647, -0.12943408,
];

/** π/2 in three parts; the first two have so few bits that k times them is exact for |k| < 2¹⁵. */
const halfPiParts = [1.5703125, 0.0004837513, 7.54979e-8] as const;

/** What each activation defines: helper functions, then `value` and `slope` from z, sharing what they can. */
interface ActivationText {
  readonly helpers: (v: string) => string;
  /** Statements that both value and slope need. */
  readonly shared: (v: string) => string;
  readonly value: (v: string) => string;
  readonly slope: (v: string) => string;
}

/** The two constants of SELU (Klambauer et al. 2017, eq. 14). */
export const seluScale = 1.0507009873554805;
export const seluAlpha = 1.6732632423543772;

/** e^z − 1 cancels near 0, so a series stands in. */
const minusOne = (v: string) => `
fn minus_one(e: ${v}, z: ${v}) -> ${v} {
  let near = z * ${horner([1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040], "z")};
  return select(e - 1.0, near, z > ${v}(-0.35));
}`;

const eluShared = (v: string) => `let below = select(z, ${v}(0.0), z > ${v}(0.0));
  let e = exp(select(below, ${v}(-80.0), below < ${v}(-80.0)));`;

// WGSL's own sin is only good to 2⁻¹¹. Cody–Waite reduction to |r| ≤ π/4, Taylor series there, quadrant by k mod 4.
const sineCosine = (v: string) => `
struct SineCosine { sine: ${v}, cosine: ${v} }
fn sine_cosine(z: ${v}) -> SineCosine {
  let k = round(z * ${f32(2 / Math.PI)});
  let reduced = ((z - k * ${f32(halfPiParts[0])}) - k * ${f32(halfPiParts[1])}) - k * ${f32(halfPiParts[2])};
  // beyond |z| of about 5·10⁴ the phase is rounding, but the value stays within ±1
  let r = select(select(reduced, ${v}(0.7855), reduced > ${v}(0.7855)), ${v}(-0.7855), reduced < ${v}(-0.7855));
  let q = r * r;
  let s = r * ${horner([1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880], "q")};
  let c = ${horner([1, -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800], "q")};
  let quadrant = k - 4.0 * floor(k * 0.25);
  let odd = (quadrant == ${v}(1.0)) | (quadrant == ${v}(3.0));
  let sine = select(s, c, odd);
  let cosine = select(c, s, odd);
  return SineCosine(
    select(sine, -sine, quadrant >= ${v}(2.0)),
    select(cosine, -cosine, (quadrant == ${v}(1.0)) | (quadrant == ${v}(2.0))),
  );
}`;

export const activationTexts: Record<string, ActivationText> = {
  silu: {
    helpers: () => "",
    // clamped where exp would overflow, which is where both value and slope are 0 to rounding. 1 − s = e·s without cancellation.
    shared: (v) => `let c = select(z, ${v}(-80.0), z < ${v}(-80.0));
  let e = exp(-c);
  let s = 1.0 / (1.0 + e);`,
    value: () => "c * s",
    slope: () => "s * (1.0 + c * (e * s))",
  },
  tanh: {
    // (1 − e)/(1 + e), e = exp(−2|z|) never overflows; near 0 its difference would cancel, so a series stands in
    helpers: (v) => `
fn safe_tanh(z: ${v}) -> ${v} {
  let size = abs(z);
  let e = exp(-2.0 * select(size, ${v}(40.0), size > ${v}(40.0)));
  let q = z * z;
  let near = z * ${horner([1, -1 / 3, 2 / 15, -17 / 315, 62 / 2835], "q")};
  return select(sign(z) * (1.0 - e) / (1.0 + e), near, size < ${v}(0.25));
}`,
    shared: () => "let y = safe_tanh(z);",
    value: () => "y",
    slope: () => "1.0 - y * y",
  },
  softplus: {
    helpers: (v) => `
// log(1 + e) = 2 artanh(e/(2 + e)) for 0 ≤ e ≤ 1, s ≤ 1/3; WGSL's own log promises only 2⁻²¹ there
fn log_one_plus(e: ${v}) -> ${v} {
  let s = e / (2.0 + e);
  let q = s * s;
  return 2.0 * s * ${horner(
    Array.from({ length: 8 }, (_, i) => 1 / (2 * i + 1)),
    "q",
  )};
}`,
    shared: (v) => `let size = abs(z);
  let e = exp(-select(size, ${v}(80.0), size > ${v}(80.0)));`,
    value: (v) => `max(z, ${v}(0.0)) + log_one_plus(e)`,
    slope: (v) => `select(e, ${v}(1.0), z > ${v}(0.0)) / (1.0 + e)`,
  },
  gelu: {
    helpers: (v) => `
// half of erfc(|z|/√2), with the Gaussian factor given
fn upper_tail(z: ${v}, gaussian: ${v}) -> ${v} {
  let t = 1.0 / (1.0 + ${f32(erfcPole * Math.SQRT1_2)} * abs(z));
  return 0.5 * gaussian * t * ${horner(erfcCoefficients, "t")};
}`,
    // exp(−110) is 0 in f32, so that z times it is 0 for any z
    shared: (v) => `let gaussian = exp(-0.5 * min(z * z, ${v}(220.0)));
  let tail = upper_tail(z, gaussian);
  let phi = select(tail, 1.0 - tail, z > ${v}(0.0));`,
    value: () => "z * phi",
    slope: () => `phi + z * gaussian * ${f32(1 / Math.sqrt(2 * Math.PI))}`,
  },
  elu: {
    helpers: (v) => minusOne(v),
    shared: eluShared,
    value: (v) => `select(minus_one(e, below), z, z > ${v}(0.0))`,
    slope: () => "e",
  },
  relu: {
    helpers: () => "",
    shared: () => "",
    value: (v) => `select(z, ${v}(0.0), z < ${v}(0.0))`,
    slope: (v) => `select(select(z, ${v}(0.0), z <= ${v}(0.0)), ${v}(1.0), z > ${v}(0.0))`,
  },
  // PyTorch's slope below zero
  leaky_relu: {
    helpers: () => "",
    shared: () => "",
    value: (v) => `select(z, 0.01 * z, z < ${v}(0.0))`,
    slope: (v) => `select(select(z, ${v}(0.01), z <= ${v}(0.0)), ${v}(1.0), z > ${v}(0.0))`,
  },
  sigmoid: {
    helpers: () => "",
    // e = exp(−|z|) never overflows; σ is 1/(1 + e) above zero and e/(1 + e) below
    shared: (v) => `let size = abs(z);
  let e = exp(-select(size, ${v}(80.0), size > ${v}(80.0)));
  let s = 1.0 / (1.0 + e);
  let y = select(e * s, s, z > ${v}(0.0));`,
    value: () => "y",
    slope: () => "s * (e * s)",
  },
  selu: {
    helpers: (v) => minusOne(v),
    shared: eluShared,
    value: (v) => `select(${f32(seluScale * seluAlpha)} * minus_one(e, below), ${f32(seluScale)} * z, z > ${v}(0.0))`,
    slope: (v) => `select(${f32(seluScale * seluAlpha)} * e, ${v}(${f32(seluScale)}), z > ${v}(0.0))`,
  },
  mish: {
    helpers: () => "",
    // tanh(log(1 + e^z)) = (e² + 2e)/(e² + 2e + 2) for e = e^z, in e^(−|z|), which never overflows (Misra 2020)
    shared: (v) => `let c = select(z, ${v}(-80.0), z < ${v}(-80.0));
  let size = abs(z);
  let q = exp(-select(size, ${v}(80.0), size > ${v}(80.0)));
  let up = z > ${v}(0.0);
  let d = select(q * (q + 2.0) + 2.0, 1.0 + q * (2.0 + 2.0 * q), up);
  let w = select(q * (q + 2.0), 1.0 + 2.0 * q, up) / d;
  let bend = 4.0 * q / (d * d);
  let rise = (1.0 + q) * select(bend, q * bend, up);`,
    value: () => "c * w",
    slope: () => "w + c * rise",
  },
  softsign: {
    helpers: () => "",
    // divided, not times the inverse, which is 0 in f32 where |z| is next to the largest number
    shared: () => `let size = 1.0 + abs(z);
  let s = 1.0 / size;`,
    value: () => "z / size",
    slope: () => "s * s",
  },
  sin: {
    helpers: sineCosine,
    shared: () => "let y = sine_cosine(z);",
    value: () => "y.sine",
    slope: () => "y.cosine",
  },
  cos: {
    helpers: sineCosine,
    shared: () => "let y = sine_cosine(z);",
    value: () => "y.cosine",
    slope: () => "-y.sine",
  },
};

/**
 * WGSL functions `activate(z) -> V` and `activate_with_slope(z) -> activate_pair { value, slope }` on the type V (f32, vec2f, vec4f), or
 * under another name than `activate`. Safe for any finite z: no exp overflows. NaN goes in and comes out, in value and slope: bounds are
 * set by comparisons, which are false for NaN, because min, max and clamp would put the bound in its place.
 */
export function activationText(activation: string, v: string, name = "activate", helpers = true): string {
  const text = activationTexts[activation];
  if (!text) throw new Error(`no shader text for the activation "${activation}"`);
  const shared = text.shared(v);
  const body = (result: string) => `${shared && `\n  ${shared}`}\n  return ${result};\n`;
  return `${helpers ? text.helpers(v) : ""}
struct ${name}_pair { value: ${v}, slope: ${v} }
fn ${name}(z: ${v}) -> ${v} {${body(text.value(v))}}
fn ${name}_with_slope(z: ${v}) -> ${name}_pair {${body(`${name}_pair(${text.value(v)}, ${text.slope(v)})`)}}`;
}
