import { planCondition } from "../../shaders/condition.ts";
import type { JacobianTexts } from "../../shaders/field.ts";
import { evaluateKernel, integrateKernel } from "../../shaders/integrate.ts";
import { movingInputs, type NarrowMlp } from "../../shaders/narrow-sizes.ts";
import { narrowTexts } from "../../shaders/narrow-turns.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { planEvaluate, planIntegrate } from "../kernels/fused.ts";
import { chooseTiling, halfTiling, isLavapipe, quickTiling } from "../kernels/tiling.ts";
import { item } from "../must.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import { tilingsOf } from "../tune/tilings.ts";
import { narrowLayout, narrowMlp } from "../velocity/narrow-layout.ts";
import { type Layout, type Parameters, plainLayout } from "../velocity/parameters.ts";
import { inputColumns, layerSizes, timeInputs } from "../velocity/plain-mlp.ts";
import { branchesOf, conditionBuffers } from "./branches.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, names, worthTable } from "./engine.ts";
import { divergenceText, tangentFlops, tangentsPerPass } from "./tangents.ts";
import { chunkWork, isWorthwhile, type Work } from "./tiers.ts";

/** Operations for each multiply-add in its text from which a text that compiles longer is worth it: see bench/README.md. */
const operationsPerText = 8.5e6;

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
  const padded = mlp.width * (movingInputs(mlp) + mlp.width * (mlp.layers - 1) + mlp.dim);
  /** What is really computed for each multiply-add of the network. */
  const padding = padded / network.multiplyAdds;
  const sizes = layerSizes(velocity);
  const [inputs, units] = [item(sizes, 0), item(sizes, 1)];
  const shape = { kind: "mlp", ...mlp } as const;
  const field = { ...shape, texts: narrowTexts };
  const key = JSON.stringify(shape);
  const uniformLimit = gpu.device.limits.maxUniformBufferBindingSize;
  const isHalf = precision === "f16";
  const fixedTiling = (tangents: number): Tiling => {
    const tiling = chooseTiling(gpu.info, uniformLimit, mlp, tangents);
    return isHalf ? halfTiling(tiling) : tiling;
  };
  /** The fixed tiling, or until that is worth its compilation another with the same bits; `texts` are the times that products are written. */
  function tierOf(fixed: Tiling, o: { kind: string; tangents: number; texts: number; work: Work }): Tiling {
    const quick = isHalf ? undefined : quickTiling(gpu.info, fixed, o.tangents);
    if (!quick) return fixed;
    const enough = operationsPerText * mlp.width ** 2 * o.texts;
    return isWorthwhile(gpu, `${key} ${o.kind}`, o.work, enough) ? fixed : quick;
  }
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
      const used = [fixedTiling(0), fixedTiling(1), fixedTiling(2)].map((t) => t.outputs);
      if (tilings.isActive && !isHalf) used.push(2, 4);
      const layouts: Record<string, Layout> = {};
      for (const outputs of new Set(used)) layouts[`weights ${outputs}`] = narrowLayout(velocity, mlp, outputs, isHalf);
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
      const { divergence, stages, freeStages, kept, jacobian, total = 0 } = integration;
      const tangents = atATime(divergence);
      const fixed = fixedTiling(tangents);
      const flopsPerStep = branchesOf(velocity, conditions).count * stepFlops(stages, freeStages, divergence);
      const chosen =
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
      const perParticle = (lastStep - firstStep) * flopsPerStep;
      const tiling =
        chosen === fixed
          ? tierOf(fixed, {
              kind: `${divergence.mode} ${tangents} ${stages}`,
              tangents,
              texts: 1 + tangents + (freeStages ? 1 : 0),
              work: chunkWork(chunk, padding * perParticle, total),
            })
          : chosen;
      const o = slice(chunk, conditions, tiling, divergence, jacobian);
      return planIntegrate({
        ...o,
        integrator: integrateKernel,
        stages,
        freeStages,
        firstStep,
        lastStep,
        flopsPerStep,
        names: { ...fieldNames(o.tiling), ...names, kept },
      });
    },
    evaluate(chunk, conditions, output, divergence) {
      if (output === "vjp") throw new Error("vjp goes through the reverse engine");
      const mode = output === "divergence" || output === "both" ? divergence : ({ mode: "none" } as const);
      const tangents = output === "jvp" ? 1 : atATime(mode);
      const perParticle =
        branchesOf(velocity, conditions).count * (output === "jvp" ? 2 * flops : tangentFlops(dim, flops, mode));
      const tiling = tierOf(fixedTiling(tangents), {
        kind: `${output} ${mode.mode}`,
        tangents,
        texts: 1 + tangents,
        work: chunkWork(chunk, padding * perParticle),
      });
      const o = slice(chunk, conditions, tiling, divergence);
      return planEvaluate({
        ...o,
        evaluator: evaluateKernel,
        output,
        flops: perParticle,
        names: {
          ...fieldNames(o.tiling),
          ...names,
        },
      });
    },
  };
}

/**
 * The widest layer that lavapipe has in one kernel beside a divergence. Wider ones compile for 16 s (96) and 35 s (128) where layer by
 * layer their first exact log p is there after 3 s of processor time (bench/README.md). Solves without one are in one kernel as far as
 * its uniform buffers hold the weights, and where their states have the same bits as beside log p: 1.5 to 1.7 times the rate of samples.
 */
const widestOfLavapipe = 80;

/** Whether sums over the inputs are in the same order layer by layer: x and then the time, which has no table there, and no conditions. */
function hasOrderOfLayers(velocity: MlpVelocity, mlp: NarrowMlp): boolean {
  const share = (timeInputs(velocity) * item(layerSizes(velocity), 1)) / networkOf(velocity).multiplyAdds;
  return !mlp.conditioned && share <= worthTable && inputColumns(velocity).every((column, i) => column === i);
}

const isWide = (gpu: Gpu, mlp: NarrowMlp) => isLavapipe(gpu.info) && mlp.width > widestOfLavapipe;

/** The same, or undefined for an MLP that is too wide for it. */
export function narrowEngine(gpu: Gpu, velocity: MlpVelocity, parameters: Parameters): Engine | undefined {
  const mlp = narrowMlp(velocity);
  return mlp && !isWide(gpu, mlp) ? fusedMlpEngine(gpu, velocity, mlp, parameters) : undefined;
}

/** For solves without a divergence of an MLP that {@link narrowEngine} finds too wide, where it may have a kernel of its own. */
export function solvingEngine(gpu: Gpu, velocity: MlpVelocity, parameters: Parameters): Engine | undefined {
  const mlp = narrowMlp(velocity);
  if (!mlp || !isWide(gpu, mlp) || !hasOrderOfLayers(velocity, mlp)) return undefined;
  const { space } = chooseTiling(gpu.info, gpu.device.limits.maxUniformBufferBindingSize, mlp, 0);
  return space === "storage" ? undefined : fusedMlpEngine(gpu, velocity, mlp, parameters);
}
