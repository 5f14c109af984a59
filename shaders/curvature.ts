import { activationText, activationTexts, seluAlpha, seluScale } from "./activation.ts";
import { f32 } from "./wgsl.ts";

/** φ″ of each activation, in the terms of its text in activation.ts. */
const curvatures: Record<string, (v: string) => string> = {
  silu: () => "(s * (e * s)) * (2.0 + c * ((e - 1.0) * s))",
  tanh: () => "-2.0 * y * (1.0 - y * y)",
  softplus: () => "e / ((1.0 + e) * (1.0 + e))",
  gelu: (v) => `gaussian * ${f32(1 / Math.sqrt(2 * Math.PI))} * (2.0 - min(z * z, ${v}(220.0)))`,
  elu: (v) => `select(e, ${v}(0.0), z > ${v}(0.0))`,
  relu: (v) => `${v}(0.0)`,
  leaky_relu: (v) => `${v}(0.0)`,
  sigmoid: (v) => `select(1.0 - e, e - 1.0, z > ${v}(0.0)) * s * (s * (e * s))`,
  selu: (v) => `select(${f32(seluScale * seluAlpha)} * e, ${v}(0.0), z > ${v}(0.0))`,
  mish: (v) =>
    `2.0 * rise + c * bend / d * select(2.0 + q * (2.0 - q * (3.0 + 2.0 * q)), q * (q * (2.0 + 2.0 * q) - 3.0) * q - 2.0 * q, z > ${v}(0.0))`,
  softsign: () => "-2.0 * sign(z) * (s * s * s)",
  sin: () => "-y.sine",
  cos: () => "-y.cosine",
};

/**
 * {@link activationText}, and `activate_with_curvature(z) -> activate_bent { value, slope, curvature }` with curvature = φ″(z), which the
 * gradient of the divergence needs. Apart from it, because only training does.
 */
export function bentActivationText(activation: string, v: string, name = "activate", helpers = true): string {
  const text = activationTexts[activation];
  const curvature = curvatures[activation];
  if (!text || !curvature) throw new Error(`no shader text for φ″ of the activation "${activation}"`);
  const shared = text.shared(v);
  return `${activationText(activation, v, name, helpers)}
struct ${name}_bent { value: ${v}, slope: ${v}, curvature: ${v} }
fn ${name}_with_curvature(z: ${v}) -> ${name}_bent {${shared && `\n  ${shared}`}
  return ${name}_bent(${text.value(v)}, ${text.slope(v)}, ${curvature(v)});
}`;
}
