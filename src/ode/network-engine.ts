import { planConditionRows } from "../../shaders/condition-rows.ts";
import type { DivergenceText, FusedField } from "../../shaders/field.ts";
import { FusedNetwork } from "../../shaders/fused-network.ts";
import { evaluateKernel, integrateKernel } from "../../shaders/integrate.ts";
import { oncePerShape } from "../../shaders/kernel.ts";
import { jacobianTexts, largestMatrix } from "../../shaders/step-jacobian.ts";
import { evaluateTileKernel, integrateTileKernel } from "../../shaders/tile.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { planEvaluate, planIntegrate } from "../kernels/fused.ts";
import { networkTiling, suitsFused } from "../kernels/network-tiling.ts";
import { tableName } from "../kernels/rows.ts";
import { tileTilings } from "../kernels/tile.ts";
import { quickTiling } from "../kernels/tiling.ts";
import type { Wave } from "../kernels/waves.ts";
import { weightNames } from "../kernels/weights.ts";
import { item, must } from "../must.ts";
import type { Network } from "../network/network.ts";
import { tilingsOf as tilingsOfDevice } from "../tune/tilings.ts";
import { denseLayout } from "../velocity/dense-layout.ts";
import { fusedNetworkLayout, tileLayout, tileWeightsName } from "../velocity/network-layout.ts";
import { type Layout, type Parameters, plainLayout } from "../velocity/parameters.ts";
import { branchesOf } from "./branches.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, type Integration, names } from "./engine.ts";
import { NetworkTable } from "./network-table.ts";
import { sliceOrRepeat } from "./slice.ts";
import { divergenceText, tangentFlops } from "./tangents.ts";
import { chunkWork, isWorthwhile, type Work } from "./tiers.ts";

/** Operations for each character of a network's text from which a text that compiles longer is worth it: see bench/README.md. */
const operationsPerCharacter = 2e6;

/** The largest networks whose particles stay in one invocation: their rows in registers, and multiply-adds as text. */
const invocationLimits = { width: 128, dim: 16, context: 16, classes: 64, rows: 4096, inputs: 2048, waves: 16 };
/** The largest networks for a tile of particles, as far as its memory does not decide. */
export const tileLimits = { ...invocationLimits, width: 256, rows: 65_536, inputs: 65_536, waves: 64 };

interface Fused {
  readonly network: FusedNetwork;
  /** What is the same for all particles at one time; undefined where there is no such thing. */
  readonly table: NetworkTable | undefined;
}

/** The modes in which a network is evaluated, by the tangents beside its value. */
const modesOf = (dim: number, isHalf: boolean): DivergenceText[] => [
  { mode: "none" },
  divergenceText(dim, { mode: "exact" }),
  { mode: "probes", perPass: 1 },
  { mode: "probes", perPass: 2 },
  ...(dim <= largestMatrix && !isHalf ? [divergenceText(dim, { mode: "discrete" }, jacobianTexts)] : []),
];

/** A network in fused kernels. */
interface FusedNetworkPlan {
  readonly fused: Fused;
  /** Whether its weights and activations are f16. */
  readonly isHalf: boolean;
  /** How its kernels may map particles and outputs to invocations, the first choice first. */
  tilingsOf(atOneTime: boolean, divergence: DivergenceText): readonly Tiling[];
}

/** A network on the tiles of a GPU, in f16 with `half` (by the subgroups' matrices with these), or undefined where these have no room for it. */
export function tileNetwork(
  gpu: Gpu,
  network: Network,
  shared: Wave | undefined,
  how: { readonly half?: boolean; readonly matrices?: boolean } = {},
): FusedNetworkPlan | undefined {
  const isHalf = how.half === true;
  const fused = fuse(network, tileLimits);
  if (!fused) return undefined;
  const tilings = new Map<string, Tiling[]>();
  const keyOf = (atOneTime: boolean, divergence: DivergenceText) => `${atOneTime} ${JSON.stringify(divergence)}`;
  for (const atOneTime of [true, false])
    for (const divergence of modesOf(network.dim, isHalf)) {
      const found = tileTilings(shared, gpu.device.limits, fused.network, atOneTime, divergence, how);
      if (found.length === 0) return undefined;
      tilings.set(keyOf(atOneTime, divergence), found);
    }
  return {
    fused,
    isHalf,
    tilingsOf: (atOneTime, divergence) => must(tilings.get(keyOf(atOneTime, divergence)), "a tile"),
  };
}

/** A network in invocations of its own, or undefined when it must go layer by layer. */
export function fusedNetwork(gpu: Gpu, network: Network): FusedNetworkPlan | undefined {
  const fused = fuse(network, invocationLimits);
  if (!fused) return undefined;
  const { maxUniformBufferBindingSize: limit } = gpu.device.limits;
  const tilingOf = (tangents: number) => networkTiling(gpu.info, limit, fused.network, tangents);
  if (!suitsFused(gpu.info, fused.network, tilingOf(0))) return undefined;
  return { fused, isHalf: false, tilingsOf: (_, mode) => [tilingOf("perPass" in mode ? mode.perPass : 0)] };
}

function fuse(network: Network, limits: typeof invocationLimits): Fused | undefined {
  const { dim, classes, context, program } = network;
  if (dim > limits.dim || context > limits.context || classes > limits.classes) return undefined;
  let [rows, inputs, waves] = [0, 0, 0];
  for (const step of program.steps) {
    if (step.width > limits.width && step.kind !== "concat" && step.kind !== "slice" && step.kind !== "linear")
      return undefined;
    if (step.kind === "map" || step.kind === "linear") rows += step.width;
    if (step.kind === "linear") inputs += step.to - step.from;
    if (step.kind === "project") waves += step.width;
  }
  if (rows > limits.rows || inputs > limits.inputs || waves > limits.waves) return undefined;
  const fused = new FusedNetwork(network);
  // what the table has may be wider
  const wide = fused.program(true).steps.some((step) => step.kind === "linear" && step.width > limits.width);
  if (wide) return undefined;
  return { network: fused, table: fused.table.rows > 0 ? new NetworkTable(network, fused.table, true) : undefined };
}

/** A small network in fused kernels: what is made of a particle never leaves its invocation. */
export function fusedNetworkEngine(
  gpu: Gpu,
  network: Network,
  { fused, isHalf, tilingsOf }: FusedNetworkPlan,
  parameters: Parameters,
): Engine {
  const { dim, classes, context } = network;
  const { table } = fused;
  const flops = 2 * network.multiplyAdds;
  const tilingOf = (atOneTime: boolean, mode: DivergenceText) => item(tilingsOf(atOneTime, mode), 0);
  const layoutOf = (tiling: Tiling, atOneTime: boolean) =>
    tiling.tile === undefined
      ? fusedNetworkLayout(network, fused.network, tiling.outputs)
      : tileLayout(network, fused.network, tiling, atOneTime);
  const tuning = tilingsOfDevice(gpu);
  const weightsName = (tiling: Tiling, atOneTime: boolean) =>
    tiling.tile === undefined ? `weights ${tiling.outputs}` : tileWeightsName(tiling, atOneTime);
  const fieldOf = (conditions: Conditions, atOneTime: boolean): FusedField => ({
    kind: "network",
    dim,
    network: fused.network,
    atOneTime,
    labels: conditions.labels !== undefined && classes > 0,
    ...(classes === 0 && branchesOf(network, conditions).count > 1 && { guided: true }),
  });
  const fieldNames = (conditions: Conditions, tiling: Tiling, atOneTime: boolean) => ({
    weights: weightsName(tiling, atOneTime),
    labels: conditions.labels && classes > 0 ? "labels" : undefined,
    context: context > 0 ? "context rows" : undefined,
  });
  const common = (chunk: Chunk, conditions: Conditions, mode: DivergenceMode, divergence: DivergenceText) => ({
    capacity: chunk.capacity,
    maxFlops: chunk.maxFlops,
    probes: mode.mode === "probes" ? mode.count : 1,
    branches: branchesOf(network, conditions),
    divergence,
  });
  const layouts: Record<string, Layout> = {
    ...(table && {
      [weightNames.forward]: denseLayout(network, "forward"),
      [weightNames.flat]: plainLayout(network.parameterCount),
    }),
  };
  for (const atOneTime of [true, false])
    for (const mode of modesOf(dim, isHalf)) {
      const tiling = tilingOf(atOneTime, mode);
      // other tilings of a mode have the same packing
      layouts[weightsName(tiling, atOneTime)] ??= layoutOf(tiling, atOneTime);
    }

  const textLength = oncePerShape((tiling: Tiling) => fused.network.text(tiling, undefined, true).length);

  /**
   * The fixed tiling and the tangents of a pass, or until these are worth their compilation others with the same bits that are there
   * sooner: one tangent at a time, and no text of its own for a stage without a weight.
   */
  function tierOf(
    fixed: Tiling,
    mode: DivergenceText,
    o: { kind: string; work: Work },
  ): { tiling: Tiling; mode: DivergenceText } {
    const hasPasses = mode.mode === "exact" || mode.mode === "probes";
    const quick = hasPasses && fixed.tile === undefined && quickTiling(gpu.info, fixed, mode.perPass);
    if (!quick) return { tiling: fixed, mode };
    const kind = `${fused.network.key} ${o.kind} ${mode.mode} ${mode.perPass}`;
    const isWorth = isWorthwhile(gpu, kind, o.work, operationsPerCharacter * textLength(fixed));
    return isWorth ? { tiling: fixed, mode } : { tiling: quick, mode: { mode: mode.mode, perPass: 1 } };
  }

  function integrate(
    chunk: Chunk,
    conditions: Conditions,
    integration: Integration,
    firstStep: number,
    lastStep: number,
  ) {
    const { divergence, stages, freeStages, kept, jacobian, total = 0 } = integration;
    const weighted = stages - (freeStages ? 1 : 0);
    const perStep = weighted * tangentFlops(dim, flops, divergence) + (stages - weighted) * flops;
    const wanted = divergenceText(dim, divergence, jacobian);
    const candidates = tilingsOf(true, wanted);
    const integrator = item(candidates, 0).tile === undefined ? integrateKernel : integrateTileKernel;
    const field = fieldOf(conditions, true);
    const chosen =
      candidates.length > 1 && kept === undefined && !jacobian && !isHalf
        ? tuning.choose({
            key: fused.network.key,
            network,
            shape: { field, divergence: wanted, stages, freeStages },
            integrator,
            schedule: integration.schedule,
            flopsPerStep: perStep,
            fixed: item(candidates, 0),
            candidates: () => [...candidates],
            weightsName: (tiling) => weightsName(tiling, true),
            layout: (tiling) => layoutOf(tiling, true),
            more: {
              ...(field.kind === "network" && field.labels && { labels: 1 }),
              ...(context > 0 && { context }),
              ...(table && { table: table.rows }),
            },
          })
        : item(candidates, 0);
    const flopsPerStep = branchesOf(network, conditions).count * perStep;
    const perParticle = (lastStep - firstStep) * flopsPerStep;
    const { tiling, mode } = tierOf(chosen, wanted, {
      kind: `${stages}`,
      work: chunkWork(chunk, perParticle, total),
    });
    const atOnce = table?.stepsAtOnce(stages) ?? lastStep - firstStep;
    const dispatches: Dispatch[] = [];
    for (let first = firstStep; first < lastStep; first += atOnce) {
      const last = Math.min(lastStep, first + atOnce);
      const made = table?.plan(chunk.maxFlops, stages, first, last);
      dispatches.push(
        ...(made?.dispatches ?? []),
        ...planIntegrate({
          ...common(chunk, conditions, divergence, mode),
          field,
          tiling,
          integrator,
          stages,
          freeStages,
          firstStep: first,
          lastStep: last,
          flopsPerStep,
          table: made && { firstRow: first * stages },
          names: { ...fieldNames(conditions, tiling, true), ...names, table: made && tableName, kept },
        }),
      );
    }
    return dispatches;
  }

  return {
    dim,
    contextWidth: context,
    family: `fused ${fused.network.toJSON()}${isHalf ? " f16" : ""}`,
    flops,
    divergenceFlops: (mode) => tangentFlops(dim, flops, mode),
    scratchFloats: () => (classes > 0 ? 1 : 0) + 2 * context,
    async shared(session) {
      if (!isHalf) await tuning.ready(fused.network.key);
      return parameters.lease(session, layouts);
    },
    buffers({ start, count, capacity }, conditions, _mode, stages = 0, isAtOneTime = false): PlannedBuffer[] {
      return [
        ...(conditions.labels && classes > 0 ? [sliceOrRepeat("labels", conditions.labels, start, count, 1)] : []),
        ...(context > 0
          ? [
              ...(conditions.context ? [sliceOrRepeat("context", conditions.context, start, count, context)] : []),
              {
                name: "context rows",
                bytes: 4 * context * capacity,
                ...(!conditions.context && { data: new Float32Array(context * capacity) }),
              },
            ]
          : []),
        ...(table && stages > 0 ? table.buffers(stages) : []),
        ...(table && isAtOneTime ? table.buffersOfOneTime() : []),
      ];
    },
    begin({ count, capacity }, conditions) {
      if (context === 0) return [];
      const contextRows = conditions.context ? "context" : undefined;
      return [
        planConditionRows({
          capacity,
          count,
          row: 0,
          classes: 0,
          context: contextRows ? context : 0,
          input: "context rows",
          contextRows,
        }),
      ];
    },
    integrate,
    evaluate(chunk, conditions, output, divergence, isAtOneTime = false) {
      if (output === "vjp") throw new Error("vjp goes through the reverse engine");
      const mode = output === "divergence" || output === "both" ? divergence : ({ mode: "none" } as const);
      const work = output === "jvp" ? 2 * flops : tangentFlops(dim, flops, mode);
      const ofProduct = { mode: "probes", perPass: 1 } as const;
      const isProduct = output === "jvp";
      const fixed = tilingOf(isAtOneTime, isProduct ? ofProduct : divergenceText(dim, mode));
      const perParticle = branchesOf(network, conditions).count * work;
      const o = { kind: `${output} ${isAtOneTime}`, work: chunkWork(chunk, perParticle) };
      // J·v has one tangent as it is
      const { tiling, mode: text } = isProduct
        ? { tiling: fixed, mode: divergenceText(dim, divergence) }
        : tierOf(fixed, divergenceText(dim, mode), o);
      const made = isAtOneTime ? table?.planOneTime(chunk.maxFlops) : undefined;
      const dispatches = planEvaluate({
        ...common(chunk, conditions, divergence, text),
        field: fieldOf(conditions, isAtOneTime),
        tiling,
        evaluator: tiling.tile === undefined ? evaluateKernel : evaluateTileKernel,
        output,
        flops: perParticle,
        names: {
          ...fieldNames(conditions, tiling, isAtOneTime),
          ...names,
          table: made && tableName,
        },
      });
      return [...(made ?? []), ...dispatches];
    },
  };
}
