import { activationText, activationTexts } from "./activation.ts";
import { f32 } from "./wgsl.ts";

/** φ″ of each activation, in the terms of its text in activation.ts. */
const curvatures: Record<string, (v: string) => string> = {
  silu: () => "(s * (e * s)) * (2.0 + c * ((e - 1.0) * s))",
  tanh: () => "-2.0 * y * (1.0 - y * y)",
  softplus: () => "e / ((1.0 + e) * (1.0 + e))",
  gelu: (v) => `gaussian * ${f32(1 / Math.sqrt(2 * Math.PI))} * (2.0 - min(z * z, ${v}(220.0)))`,
  elu: (v) => `select(e, ${v}(0.0), z > ${v}(0.0))`,
  relu: (v) => `${v}(0.0)`,
  sin: () => "-y.sine",
};

/**
 * {@link activationText}, and `activate_with_curvature(z) -> Bent { value, slope, curvature }` with curvature = φ″(z), which the
 * gradient of the divergence needs. Apart from it, because only training does.
 */
export function bentActivationText(activation: string, v: string): string {
  const text = activationTexts[activation];
  const curvature = curvatures[activation];
  if (!text || !curvature) throw new Error(`no shader text for φ″ of the activation "${activation}"`);
  const shared = text.shared(v);
  return `${activationText(activation, v)}
struct Bent { value: ${v}, slope: ${v}, curvature: ${v} }
fn activate_with_curvature(z: ${v}) -> Bent {${shared && `\n  ${shared}`}
  return Bent(${text.value(v)}, ${text.slope(v)}, ${curvature(v)});
}`;
}
