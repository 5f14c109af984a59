import type { FusedField } from "../field.ts";
import { evaluateKernel, integrateKernel } from "../integrate.ts";
import type { Add } from "./entry.ts";
import { tilings } from "./tilings.ts";

const rotation: FusedField = {
  kind: "wgsl",
  dim: 2,
  code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }
fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
};

// the code behind the field is what src/dual generates for a rotation
const differentiated: FusedField = {
  kind: "wgsl",
  dim: 2,
  trace: "pf_trace",
  product: "pf_forward",
  code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }
struct PfProduct { velocity: array<f32, DIM>, product: array<f32, DIM> }
fn pf_forward(t: f32, x: array<f32, DIM>, v: array<f32, DIM>) -> PfProduct {
  return PfProduct(velocity(t, x), array<f32, DIM>(-v[1], v[0]));
}
fn pf_trace(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
};

/** Fields in WGSL. */
export function wgslKernels(add: Add): void {
  add("wgsl field, midpoint step", () =>
    integrateKernel({
      field: rotation,
      tiling: tilings.gpu,
      stages: 2,
      freeStages: true,
      divergence: { mode: "none" },
    }),
  );
  add("wgsl field, midpoint step with its own divergence", () =>
    integrateKernel({ field: rotation, tiling: tilings.gpu, stages: 2, freeStages: true, divergence: { mode: "own" } }),
  );
  add("wgsl field, velocity", () =>
    evaluateKernel({ field: rotation, tiling: tilings.gpu, output: "velocity", divergence: { mode: "none" } }),
  );
  add("wgsl field, velocity and divergence", () =>
    evaluateKernel({ field: rotation, tiling: tilings.gpu, output: "both", divergence: { mode: "own" } }),
  );
  add("wgsl field, divergence", () =>
    evaluateKernel({ field: rotation, tiling: tilings.gpu, output: "divergence", divergence: { mode: "own" } }),
  );
  add("wgsl field, midpoint step with a generated trace", () =>
    integrateKernel({
      field: differentiated,
      tiling: tilings.gpu,
      stages: 2,
      freeStages: true,
      divergence: { mode: "own" },
    }),
  );
  add("wgsl field, midpoint step with probes", () =>
    integrateKernel({
      field: differentiated,
      tiling: tilings.gpu,
      stages: 2,
      freeStages: true,
      divergence: { mode: "probes", perPass: 1 },
    }),
  );
  add("wgsl field, J·v", () =>
    evaluateKernel({ field: differentiated, tiling: tilings.gpu, output: "jvp", divergence: { mode: "none" } }),
  );
}
