import type { DivergenceText, FusedField, JacobianTexts } from "../../shaders/field.ts";
import { evaluateKernel, integrateKernel } from "../../shaders/integrate.ts";
import { oneBranch, planEvaluate, planIntegrate } from "../kernels/fused.ts";
import { scalarTiling } from "../kernels/tiling.ts";
import type { WgslVelocity } from "../velocity/wgsl.ts";
import { type Chunk, type DivergenceMode, type Engine, names, tangentsOf } from "./engine.ts";
import { divergenceText } from "./tangents.ts";

/**
 * The user's WGSL in the same fused kernels. Its divergence is its own function; without one, and for J·v and Jᵀ·v, it is what
 * `derivatives` gives: WGSL to go behind the code (src/dual/derivatives.ts), or an error that tells why there is none.
 */
export function wgslEngine(velocity: WgslVelocity, derivatives: () => string): Engine {
  const { dim } = velocity;
  const flops = velocity.flops;
  type Field = Extract<FusedField, { kind: "wgsl" }>;
  const plain: Field = { kind: "wgsl", dim, code: velocity.code };
  const differentiated = (more: Pick<Field, "trace" | "product">): Field => ({
    ...plain,
    ...more,
    code: `${velocity.code}\n${derivatives()}`,
  });
  const withDivergence = (
    mode: DivergenceMode,
    jacobian?: JacobianTexts,
  ): { field: Field; divergence: DivergenceText } => {
    if (mode.mode === "none") return { field: plain, divergence: mode };
    if (mode.mode === "discrete")
      return { field: differentiated({ product: "pf_forward" }), divergence: divergenceText(dim, mode, jacobian) };
    if (velocity.hasDivergence) return { field: plain, divergence: { mode: "own" } };
    if (mode.mode === "exact") return { field: differentiated({ trace: "pf_trace" }), divergence: { mode: "own" } };
    return { field: differentiated({ product: "pf_forward" }), divergence: { mode: "probes", perPass: 1 } };
  };
  const slice = (chunk: Chunk, mode: DivergenceMode, jacobian?: JacobianTexts) => ({
    tiling: scalarTiling,
    capacity: chunk.capacity,
    maxFlops: chunk.maxFlops,
    probes: mode.mode === "probes" ? mode.count : 1,
    branches: oneBranch,
    ...withDivergence(mode, jacobian),
  });
  const passFlops = (mode: DivergenceMode): number => {
    if (mode.mode === "none") return flops;
    if (velocity.hasDivergence && mode.mode !== "discrete") return 2 * flops;
    return flops * (1 + 3 * tangentsOf(dim, mode));
  };
  return {
    dim,
    contextWidth: 0,
    family: `wgsl ${velocity.code}`,
    flops,
    divergenceFlops: passFlops,
    scratchFloats: () => 0,
    shared: async () => ({ buffers: new Map(), version: 0, release: () => undefined }),
    buffers: () => [],
    begin: () => [],
    integrate: (chunk, _conditions, integration, firstStep, lastStep) =>
      planIntegrate({
        ...slice(chunk, integration.divergence, integration.jacobian),
        integrator: integrateKernel,
        stages: integration.stages,
        freeStages: integration.freeStages,
        firstStep,
        lastStep,
        flopsPerStep: integration.stages * passFlops(integration.divergence),
        names,
      }),
    evaluate(chunk, _conditions, output, divergence) {
      const isProduct = output === "jvp" || output === "vjp";
      const mode = output === "divergence" || output === "both" ? divergence : ({ mode: "none" } as const);
      return planEvaluate({
        ...slice(chunk, mode),
        ...(isProduct && { field: differentiated({ product: output === "jvp" ? "pf_forward" : "pf_reverse" }) }),
        evaluator: evaluateKernel,
        output: isProduct ? "jvp" : output,
        flops: output === "jvp" ? 3 * flops : output === "vjp" ? 3 * dim * flops : passFlops(mode),
        names,
      });
    },
  };
}
