import { planCondition } from "../../shaders/condition.ts";
import type { DivergenceText, FusedField, JacobianTexts } from "../../shaders/field.ts";
import { evaluateKernel, integrateKernel } from "../../shaders/integrate.ts";
import type { NarrowMlp } from "../../shaders/narrow-mlp.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { oneBranch, planEvaluate, planIntegrate } from "../kernels/fused.ts";
import { chooseTiling, halfTiling, scalarTiling } from "../kernels/tiling.ts";
import { item, must } from "../must.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import { tilingsOf } from "../tune/tilings.ts";
import { narrowLayout } from "../velocity/narrow-layout.ts";
import { type Layout, type Parameters, plainLayout } from "../velocity/parameters.ts";
import { layerSizes, timeInputs } from "../velocity/plain-mlp.ts";
import type { WgslVelocity } from "../velocity/wgsl.ts";
import { branchesOf, conditionBuffers } from "./branches.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, names, tangentsOf } from "./engine.ts";

/** Tangents that go through the network together with one value. */
export function tangentsPerPass(dim: number, mode: DivergenceMode): number {
  if (mode.mode === "exact" || mode.mode === "discrete") return dim <= 3 ? dim : 2;
  return mode.mode === "probes" && mode.count % 2 === 0 ? 2 : 1;
}

export function divergenceText(dim: number, mode: DivergenceMode, jacobian?: JacobianTexts): DivergenceText {
  const { mode: how } = mode;
  if (how === "none") return { mode: how };
  const perPass = tangentsPerPass(dim, mode);
  if (how === "discrete") return { mode: how, perPass, texts: must(jacobian, "the texts of a step's Jacobian") };
  return { mode: how, perPass };
}

/** Work of value and tangents: each tangent costs a forward pass, and the value is computed anew in every pass. */
export function tangentFlops(dim: number, flops: number, mode: DivergenceMode): number {
  if (mode.mode === "none") return flops;
  const perPass = tangentsPerPass(dim, mode);
  return Math.ceil(tangentsOf(dim, mode) / perPass) * (1 + perPass) * flops;
}

/** A narrow MLP in fused kernels: the activations of a particle never leave its invocation. */
export function fusedMlpEngine(
  gpu: Gpu,
  velocity: MlpVelocity,
  mlp: NarrowMlp,
  parameters: Parameters,
  precision: "f32" | "f16" = "f32",
): Engine {
  const { dim } = velocity;
  const network = networkOf(velocity);
  const flops = 2 * network.multiplyAdds;
  const sizes = layerSizes(velocity);
  const [inputs, units] = [item(sizes, 0), item(sizes, 1)];
  const field = { kind: "mlp", ...mlp } as const;
  const key = JSON.stringify(field);
  const uniformLimit = gpu.device.limits.maxUniformBufferBindingSize;
  const isHalf = precision === "f16";
  const fixedTiling = (tangents: number): Tiling => {
    const tiling = chooseTiling(gpu.info, uniformLimit, mlp, tangents);
    return isHalf ? halfTiling(tiling) : tiling;
  };
  const weightsName = ({ outputs }: Tiling) => `weights ${outputs}`;
  const slice = (
    chunk: Chunk,
    conditions: Conditions,
    tiling: Tiling,
    mode: DivergenceMode,
    jacobian?: JacobianTexts,
  ) => ({
    field,
    tiling,
    capacity: chunk.capacity,
    maxFlops: chunk.maxFlops,
    probes: mode.mode === "probes" ? mode.count : 1,
    branches: branchesOf(velocity, conditions),
    divergence: divergenceText(dim, mode, jacobian),
  });
  const fieldNames = (t: Tiling) => ({ weights: weightsName(t), offsets: mlp.conditioned ? "offsets" : undefined });
  const atATime = (mode: DivergenceMode) => (mode.mode === "none" ? 0 : tangentsPerPass(dim, mode));

  const tilings = tilingsOf(gpu);

  /** Work of one step for one particle and one branch; only stages with a weight need the divergence. */
  function stepFlops(stages: number, freeStages: boolean, divergence: DivergenceMode): number {
    const weighted = stages - (freeStages ? 1 : 0);
    return weighted * tangentFlops(dim, flops, divergence) + (stages - weighted) * flops;
  }

  return {
    dim,
    contextWidth: velocity.context,
    family: `fused ${dim} ${mlp.width} ${mlp.layers} ${isHalf}`,
    flops,
    divergenceFlops: (mode) => tangentFlops(dim, flops, mode),
    scratchFloats: () => (mlp.conditioned ? 2 * mlp.width + 1 + velocity.context : 0),
    async shared(session) {
      if (!isHalf) await tilings.ready(key);
      // A tuned choice may come while the call runs: then the weights lie ready in every layout that it can ask for.
      const used =
        tilings.isActive && !isHalf
          ? ([2, 4] as const)
          : [fixedTiling(0), fixedTiling(1), fixedTiling(2)].map((t) => t.outputs);
      const layouts: Record<string, Layout> = {};
      for (const outputs of used) layouts[`weights ${outputs}`] = narrowLayout(velocity, mlp, outputs, isHalf);
      if (mlp.conditioned) layouts.parameters = plainLayout(parameters.count);
      return parameters.lease(session, layouts);
    },
    buffers(chunk, conditions) {
      if (!mlp.conditioned) return [];
      return [
        { name: "offsets", bytes: branchesOf(velocity, conditions).count * mlp.width * chunk.capacity * 4 },
        ...conditionBuffers(chunk, conditions, velocity.context),
      ];
    },
    begin({ count, capacity }, conditions) {
      if (!mlp.conditioned) return [];
      const branches = branchesOf(velocity, conditions);
      return Array.from({ length: branches.count }, (_, branch) => {
        const isNull = branch === 0 && branches.nullFirst;
        return planCondition({
          count,
          capacity,
          width: mlp.width,
          units,
          inputs,
          column: dim + timeInputs(velocity),
          classes: velocity.classes,
          context: velocity.context,
          branch,
          nullClass: isNull,
          names: {
            parameters: "parameters",
            offsets: "offsets",
            labels: conditions.labels ? "labels" : undefined,
            // without classes it is the context that the null field lacks
            context: conditions.context && (velocity.classes > 0 || !isNull) ? "context" : undefined,
          },
        });
      });
    },
    integrate(chunk, conditions, integration, firstStep, lastStep) {
      const { divergence, stages, freeStages, kept, jacobian } = integration;
      const fixed = fixedTiling(atATime(divergence));
      const tiling =
        kept === undefined && !isHalf && !jacobian
          ? tilings.choose({
              key,
              network,
              shape: { field, divergence: divergenceText(dim, divergence), stages, freeStages },
              integrator: integrateKernel,
              schedule: integration.schedule,
              flopsPerStep: stepFlops(stages, freeStages, divergence),
              fixed,
              candidates: (candidateTilings) =>
                candidateTilings(gpu.info, gpu.device.limits, mlp, divergenceText(dim, divergence), fixed),
              weightsName,
              layout: ({ outputs }) => narrowLayout(velocity, mlp, outputs),
              more: mlp.conditioned ? { offsets: mlp.width } : {},
            })
          : fixed;
      const o = slice(chunk, conditions, tiling, divergence, jacobian);
      return planIntegrate({
        ...o,
        integrator: integrateKernel,
        stages,
        freeStages,
        firstStep,
        lastStep,
        flopsPerStep: branchesOf(velocity, conditions).count * stepFlops(stages, freeStages, divergence),
        names: { ...fieldNames(o.tiling), ...names, kept },
      });
    },
    evaluate(chunk, conditions, output, divergence) {
      if (output === "vjp") throw new Error("vjp goes through the reverse engine");
      const mode = output === "divergence" || output === "both" ? divergence : ({ mode: "none" } as const);
      const tangents = output === "jvp" ? 1 : atATime(mode);
      const o = slice(chunk, conditions, fixedTiling(tangents), divergence);
      return planEvaluate({
        ...o,
        evaluator: evaluateKernel,
        output,
        flops: branchesOf(velocity, conditions).count * (output === "jvp" ? 2 * flops : tangentFlops(dim, flops, mode)),
        names: {
          ...fieldNames(o.tiling),
          state: names.state,
          times: names.times,
          velocity: names.velocity,
          divergence: names.divergence,
          probes: names.probes,
          ...(output === "jvp" ? { tangent: names.tangent, product: names.product } : {}),
        },
      });
    },
  };
}

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
        names: {
          state: names.state,
          times: names.times,
          velocity: names.velocity,
          divergence: names.divergence,
          probes: names.probes,
          ...(isProduct && { tangent: names.tangent, product: names.product }),
        },
      });
    },
  };
}
