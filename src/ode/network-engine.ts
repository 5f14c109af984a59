import type { FusedField } from "../../shaders/field.ts";
import { FusedNetwork } from "../../shaders/fused-network.ts";
import { integrateKernel } from "../../shaders/integrate.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { planEvaluate, planIntegrate } from "../kernels/fused.ts";
import { tableName } from "../kernels/rows.ts";
import { planConditionRows } from "../kernels/stages.ts";
import { networkTiling } from "../kernels/tiling.ts";
import { weightNames } from "../kernels/weights.ts";
import type { Network } from "../network/network.ts";
import { splitNetwork, tablePlaces } from "../network/split.ts";
import { denseLayout } from "../velocity/dense-layout.ts";
import { fusedNetworkLayout } from "../velocity/network-layout.ts";
import { type Parameters, plainLayout } from "../velocity/parameters.ts";
import { branchesOf } from "./branches.ts";
import {
  type Chunk,
  type Conditions,
  type DivergenceMode,
  type Engine,
  type Integration,
  names,
  resultsOf,
} from "./engine.ts";
import { divergenceText, tangentFlops } from "./fused-engine.ts";
import { NetworkTable } from "./network-table.ts";
import { slice } from "./slice.ts";

/** The largest networks whose particles stay in one invocation: their rows in registers, and multiply-adds as text. */
const limits = { width: 128, dim: 16, context: 16, classes: 64, rows: 4096, inputs: 2048, waves: 16 } as const;

interface Fused {
  readonly network: FusedNetwork;
  /** What is the same for all particles at one time; undefined where there is no such thing. */
  readonly table: NetworkTable | undefined;
}

const keys = new Map<string, string>();

/** A short name for a long text, the same for the same text: kernels are looked up by it at every plan. */
function keyOf(text: string): string {
  const key = keys.get(text) ?? `network ${keys.size}`;
  keys.set(text, key);
  return key;
}

/** The fused form of a network, or undefined when it must go layer by layer. */
export function fuse(network: Network): Fused | undefined {
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
  const split = splitNetwork(program, network.output);
  const wide = split.program.steps.some((step) => step.kind === "linear" && step.width > limits.width);
  if (wide || rows > limits.rows || inputs > limits.inputs || waves > limits.waves) return undefined;
  const { table } = split;
  const fused = new FusedNetwork({
    dim,
    classes,
    context,
    table: tablePlaces(table, tableName),
    atOneTime: split,
    anyTime: { program, output: network.output },
    key: keyOf(JSON.stringify([dim, classes, context, program.steps])),
  });
  return { network: fused, table: table.rows > 0 ? new NetworkTable(network, table) : undefined };
}

/** A small network in fused kernels: what is made of a particle never leaves its invocation. */
export function fusedNetworkEngine(gpu: Gpu, network: Network, fused: Fused, parameters: Parameters): Engine {
  const { dim, classes, context } = network;
  const { table } = fused;
  const flops = 2 * network.multiplyAdds;
  const uniformLimit = gpu.device.limits.maxUniformBufferBindingSize;
  const tiling = networkTiling(gpu.info, uniformLimit, fused.network);
  const weights = `weights ${tiling.outputs}`;
  const fieldOf = (conditions: Conditions, atOneTime: boolean): FusedField => ({
    kind: "network",
    dim,
    network: fused.network,
    atOneTime,
    labels: conditions.labels !== undefined && classes > 0,
  });
  const fieldNames = (conditions: Conditions) => ({
    weights,
    labels: conditions.labels && classes > 0 ? "labels" : undefined,
    context: context > 0 ? "context rows" : undefined,
  });
  const common = (chunk: Chunk, conditions: Conditions, mode: DivergenceMode) => ({
    tiling,
    capacity: chunk.capacity,
    maxFlops: chunk.maxFlops,
    probes: mode.mode === "probes" ? mode.count : 1,
    branches: branchesOf(network, conditions),
    divergence: divergenceText(dim, mode),
  });
  const layouts = {
    [weights]: fusedNetworkLayout(network, fused.network, tiling.outputs),
    ...(table && {
      [weightNames.forward]: denseLayout(network, "forward"),
      [weightNames.flat]: plainLayout(network.parameterCount),
    }),
  };

  function integrate(
    chunk: Chunk,
    conditions: Conditions,
    integration: Integration,
    firstStep: number,
    lastStep: number,
  ) {
    const { divergence, stages, freeStages, kept } = integration;
    const weighted = stages - (freeStages ? 1 : 0);
    const perStep = weighted * tangentFlops(dim, flops, divergence) + (stages - weighted) * flops;
    const atOnce = table?.stepsAtOnce(stages) ?? lastStep - firstStep;
    const dispatches: Dispatch[] = [];
    for (let first = firstStep; first < lastStep; first += atOnce) {
      const last = Math.min(lastStep, first + atOnce);
      const made = table?.plan(chunk.maxFlops, stages, first, last);
      dispatches.push(
        ...(made?.dispatches ?? []),
        ...planIntegrate({
          ...common(chunk, conditions, divergence),
          field: fieldOf(conditions, true),
          integrator: integrateKernel,
          stages,
          freeStages,
          firstStep: first,
          lastStep: last,
          flopsPerStep: branchesOf(network, conditions).count * perStep,
          table: made && { firstRow: first * stages, columns: made.columns },
          names: { ...fieldNames(conditions), ...names, table: made && tableName, kept },
        }),
      );
    }
    return dispatches;
  }

  return {
    dim,
    contextWidth: context,
    family: `fused ${fused.network.toJSON()}`,
    flops,
    divergenceFlops: (mode) => tangentFlops(dim, flops, mode),
    scratchFloats: () => (classes > 0 ? 1 : 0) + 2 * context,
    shared: (session) => parameters.lease(session, layouts),
    buffers({ start, count, capacity }, conditions, _mode, stages = 0): PlannedBuffer[] {
      return [
        ...(conditions.labels && classes > 0 ? [slice("labels", conditions.labels, start, count, 1)] : []),
        ...(context > 0
          ? [
              ...(conditions.context ? [slice("context", conditions.context, start, count, context)] : []),
              {
                name: "context rows",
                bytes: 4 * context * capacity,
                ...(!conditions.context && { data: new Float32Array(context * capacity) }),
              },
            ]
          : []),
        ...(table && stages > 0 ? table.buffers(stages) : []),
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
    evaluate(chunk, conditions, output, divergence) {
      if (output === "vjp") throw new Error("vjp goes through the layered engine");
      const mode = output === "divergence" || output === "both" ? divergence : ({ mode: "none" } as const);
      const work = output === "jvp" ? 2 * flops : tangentFlops(dim, flops, mode);
      return planEvaluate({
        ...common(chunk, conditions, divergence),
        field: fieldOf(conditions, false),
        output,
        flops: branchesOf(network, conditions).count * work,
        names: {
          ...fieldNames(conditions),
          state: names.state,
          times: names.times,
          results: resultsOf(output),
          probes: names.probes,
          ...(output === "jvp" ? { tangent: names.tangent, product: names.product } : {}),
        },
      });
    },
  };
}
