import type { Gpu } from "../gpu/gpu.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import {
  planConditionRows,
  planFinishStep,
  planMix,
  planStageInput,
  planTangentDot,
  planTangentInput,
} from "../kernels/stages.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import { stageRow } from "../solvers/schedule.ts";
import { denseBackwardLayout, denseForwardLayout } from "../velocity/dense-layout.ts";
import { denseWeights, planBackward, planForward, planTangents } from "../velocity/layered.ts";
import { conditionInputs, layerSizes, type MlpVelocity, multiplyAdds, timeInputs } from "../velocity/mlp.ts";
import type { Parameters } from "../velocity/parameters.ts";
import { branchesOf, conditionBuffers } from "./branches.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, type Evaluation, names } from "./engine.ts";

/** Tangents that go through the layers in one batch. */
const tangentsPerPass = 4;

const isEvaluation = (mode: DivergenceMode | Evaluation): mode is Evaluation => typeof mode === "string";

/** Tangents that a call carries at a time, and whether it needs slopes. */
function demand(dim: number, mode: DivergenceMode | Evaluation): { tangents: number; slopes: boolean } {
  if (isEvaluation(mode)) return { tangents: mode === "jvp" ? 1 : 0, slopes: mode === "jvp" || mode === "vjp" };
  const all = mode.mode === "exact" ? dim : mode.mode === "probes" ? mode.count : 0;
  return { tangents: Math.min(tangentsPerPass, all), slopes: all > 0 };
}

/** An MLP of any width and dimension: a dense kernel per layer, activations in device memory. */
export function layeredEngine(gpu: Gpu, velocity: MlpVelocity, parameters: Parameters): Engine {
  const { dim } = velocity;
  const sizes = layerSizes(velocity);
  const hidden = sizes.slice(1, -1);
  const flops = 2 * multiplyAdds(velocity);
  const fourier = velocity.time === "concat" ? 0 : velocity.time.fourier;
  const conditioned = conditionInputs(velocity) > 0;
  const tiling = { subgroup: subgroupForWeights(gpu.info), staged: !gpu.info.software };
  const inputOf = (branch: number) => (branch === 0 ? "h0" : "h0.label");
  const allTangents = (mode: DivergenceMode) => (mode.mode === "exact" ? dim : mode.mode === "probes" ? mode.count : 0);

  /** The network at the input rows of every branch, its outputs mixed into `output`; `after` runs behind each branch's pass. */
  function evaluateBranches(
    chunk: Chunk,
    conditions: Conditions,
    slopes: boolean,
    output: string,
    after: (weight: number, branch: number) => Dispatch[],
  ): Dispatch[] {
    const branches = branchesOf(velocity, conditions);
    const { capacity } = chunk;
    if (branches.count === 1)
      return [...planForward({ ...chunk, ...tiling, velocity, slopes, output }), ...after(1, 0)];
    return [branches.weightNull, branches.weightLabel].flatMap((weight, branch) => [
      ...planForward({ ...chunk, ...tiling, velocity, slopes, input: inputOf(branch), output: "u" }),
      planMix({ capacity, dim, weight, add: branch > 0, value: "u", target: output }),
      ...after(weight, branch),
    ]);
  }

  /** Passes of tangents behind a forward pass; every pass adds its part of the divergence, times `weight`, to `sums`. */
  function divergencePasses(
    chunk: Chunk,
    mode: DivergenceMode,
    weight: number,
    each: boolean,
    begin: boolean,
    sums: string,
  ): Dispatch[] {
    const total = allTangents(mode);
    const basis = mode.mode === "exact";
    const dispatches: Dispatch[] = [];
    for (let first = 0; first < total; first += tangentsPerPass) {
      const tangents = Math.min(tangentsPerPass, total - first);
      const common = { capacity: chunk.capacity, dim, first, tangents };
      dispatches.push(
        planTangentInput({ ...common, probes: basis ? undefined : names.probes, input: "dh0" }),
        ...planTangents({ ...chunk, ...tiling, velocity, tangents, input: "dh0", output: "jv" }),
        planTangentDot({
          ...common,
          weight,
          each,
          begin: begin && (each || first === 0),
          basis,
          products: "jv",
          tangentInput: "dh0",
          sums,
        }),
      );
    }
    return dispatches;
  }

  function stageInputs(
    chunk: Chunk,
    conditions: Conditions,
    time: number | { times: string },
    a: readonly number[],
    ks: readonly string[],
  ): Dispatch[] {
    return Array.from({ length: branchesOf(velocity, conditions).count }, (_, branch) =>
      planStageInput({
        capacity: chunk.capacity,
        dim,
        fourier,
        time,
        a,
        ks,
        state: names.state,
        input: inputOf(branch),
      }),
    ).flat();
  }

  return {
    dim,
    contextWidth: velocity.context,
    family: `layered ${velocity.hidden}`,
    flops,
    divergenceFlops: (mode) => (1 + allTangents(mode)) * flops,
    scratchFloats(mode, stages = 0) {
      const { tangents, slopes } = demand(dim, mode);
      const widths = hidden.reduce((sum, width) => sum + width, 0);
      const [inputs = 0] = sizes;
      return (
        (conditioned ? 2 : 1) * inputs +
        widths * (1 + Number(slopes) * 2 + tangents) +
        dim * (3 + stages + 2 * tangents)
      );
    },
    shared: (session) =>
      parameters.lease(session, {
        [denseWeights.forward]: denseForwardLayout(velocity),
        [denseWeights.backward]: denseBackwardLayout(velocity),
      }),
    buffers(chunk, conditions, mode, stages = 0) {
      const { tangents, slopes } = demand(dim, mode);
      const rows = (name: string, features: number): PlannedBuffer => ({ name, bytes: features * chunk.capacity * 4 });
      const branches = branchesOf(velocity, conditions).count;
      return [
        ...Array.from({ length: branches }, (_, branch) => rows(inputOf(branch), sizes[0] ?? 0)),
        rows("u", dim),
        rows("u.mixed", dim),
        ...hidden.map((width, l) => rows(`h${l + 1}`, width)),
        ...(slopes ? hidden.map((width, l) => rows(`g${l + 1}`, width)) : []),
        ...(tangents > 0
          ? [
              rows("dh0", tangents * dim),
              rows("jv", tangents * dim),
              ...hidden.map((width, l) => rows(`d${l + 1}`, tangents * width)),
            ]
          : []),
        ...(mode === "vjp" ? [...hidden.map((width, l) => rows(`abar${l + 1}`, width)), rows("xbar", dim)] : []),
        ...Array.from({ length: stages }, (_, s) => rows(`k${s}`, dim)),
        ...conditionBuffers(chunk, conditions, velocity.context),
      ];
    },
    begin({ count, capacity }, conditions) {
      if (!conditioned) return [];
      const branches = branchesOf(velocity, conditions);
      return Array.from({ length: branches.count }, (_, branch) =>
        planConditionRows({
          capacity,
          count,
          row: dim + timeInputs(velocity),
          classes: velocity.classes,
          context: velocity.context,
          input: inputOf(branch),
          labels: conditions.labels && !(branch === 0 && branches.nullFirst) ? "labels" : undefined,
          contextRows: conditions.context ? "context" : undefined,
        }),
      );
    },
    integrate(chunk, conditions, { stages, schedule, divergence, kept }, firstStep, lastStep) {
      const dispatches: Dispatch[] = [];
      const ks = Array.from({ length: stages }, (_, s) => (s === 0 && kept !== undefined ? kept : `k${s}`));
      const tracks = divergence.mode !== "none";
      for (let step = firstStep; step < lastStep; step++) {
        const b: number[] = [];
        for (let stage = 0; stage < stages; stage++) {
          const { time, weight, a } = stageRow(schedule, stages, step, stage);
          b.push(weight);
          dispatches.push(...stageInputs(chunk, conditions, time, a, ks.slice(0, stage)));
          const needsDivergence = tracks && weight !== 0;
          dispatches.push(
            ...evaluateBranches(chunk, conditions, needsDivergence, ks[stage] ?? "", (branchWeight) =>
              needsDivergence
                ? divergencePasses(
                    chunk,
                    divergence,
                    -weight * branchWeight,
                    divergence.mode === "probes",
                    false,
                    names.integral,
                  )
                : [],
            ),
          );
        }
        dispatches.push(...planFinishStep({ capacity: chunk.capacity, dim, b, ks, state: names.state }));
      }
      return dispatches;
    },
    evaluate(chunk, conditions, output, divergence) {
      const inputs = stageInputs(chunk, conditions, { times: names.times }, [], []);
      const { capacity } = chunk;
      if (output === "velocity")
        return [...inputs, ...evaluateBranches(chunk, conditions, false, names.velocity, () => [])];
      if (output === "both") {
        const each = divergence.mode === "probes";
        return [
          ...inputs,
          ...evaluateBranches(chunk, conditions, true, names.velocity, (weight, branch) =>
            divergencePasses(chunk, divergence, weight, each, branch === 0, names.divergence),
          ),
        ];
      }
      if (output === "divergence") {
        const scale = divergence.mode === "probes" ? 1 / divergence.count : 1;
        return [
          ...inputs,
          ...evaluateBranches(chunk, conditions, true, "u.mixed", (weight, branch) =>
            divergencePasses(chunk, divergence, weight * scale, false, branch === 0, names.divergence),
          ),
        ];
      }
      // J·v or Jᵀ·w of every branch, mixed like the velocity
      const product = output === "jvp" ? "jv" : "xbar";
      const mixed = branchesOf(velocity, conditions).count > 1;
      return [
        ...inputs,
        ...evaluateBranches(chunk, conditions, true, names.velocity, (weight, branch) => [
          ...(output === "jvp"
            ? planTangents({
                ...chunk,
                ...tiling,
                velocity,
                tangents: 1,
                input: names.tangent,
                output: mixed ? product : names.product,
              })
            : planBackward({
                ...chunk,
                ...tiling,
                velocity,
                xbar: true,
                cotangent: names.tangent,
                output: mixed ? product : names.product,
              })),
          ...(mixed
            ? [planMix({ capacity, dim, weight, add: branch > 0, value: product, target: names.product })]
            : []),
        ]),
      ];
    },
  };
}
