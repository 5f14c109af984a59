import { planResidual } from "../../shaders/flow-matching.ts";
import { planPenalise, planTangentEnds } from "../../shaders/tangent-ends.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Dispatch, mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import type { RunRange } from "../kernels/rows.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import { gradientCopies } from "../kernels/weight-gradient.ts";
import { weightNames } from "../kernels/weights.ts";
import { must } from "../must.ts";
import { reverse, tangentOfX, withTangents } from "../network/derivatives.ts";
import type { Network } from "../network/network.ts";
import type { Value } from "../network/program.ts";
import { type Place, wholeBuffer } from "../network/schedule.ts";
import { denseLayout } from "../velocity/dense-layout.ts";
import { type GradientPlan, inputPlaces, Run } from "../velocity/run.ts";
import type { Backward, Batch, PassTangents } from "./backward.ts";
import { planLayerGradient } from "./layer-gradients.ts";

/** Tangents that share the recomputed values of a pass. */
const tangentsPerPass = 4;

/** What a gradient is of: flow matching's residual, or a pass, with tangents and penalties on velocity and tangents where there are such. */
type GradientShape = "residual" | { readonly tangents: boolean; readonly penalised: boolean };

/** A network forward, with tangents where they are asked for, and in reverse, by x too in a pass. */
function gradientRun(network: Network, shape: GradientShape): Run {
  const isPass = shape !== "residual";
  const rows = (buffer: string) => wholeBuffer(buffer, network.dim);
  const inputs = inputPlaces(network, "h0").set("ubar", rows("ubar"));
  const made = isPass && shape.tangents ? withTangents(network.program, network.output) : undefined;
  const { program, output } = made ?? { program: network.program.copy(), output: network.output };
  const cotangents = [{ of: output, cotangent: program.input("ubar", network.dim) }];
  if (made) {
    inputs.set(tangentOfX, rows("drows")).set("dtop", rows("dtop"));
    cotangents.push({ of: made.tangent, cotangent: program.input("dtop", network.dim, true) });
  }
  const back = reverse(program, cotangents, isPass ? ["x"] : [], true);
  const outputs: { value: Value; place: Place }[] = [];
  if (!isPass || shape.penalised) outputs.push({ value: output, place: rows("u") });
  if (isPass && shape.penalised && made) outputs.push({ value: made.tangent, place: rows("jv") });
  if (isPass) {
    const value = must(back.inputs.get("x"), "the gradient by x of a velocity, which depends on x");
    outputs.push({ value, place: rows("xbar") });
  }
  const lateInputs = ["ubar", "dtop"];
  return new Run(network, program, { inputs, outputs, gradients: back.gradients, lateInputs, prefix: "b" });
}

/** Any network: a kernel per layer and direction, activations in device memory. */
export function layeredBackward(gpu: Gpu, network: Network): Backward {
  const { dim, parameterCount } = network;
  const made = new Map<string, Run>();
  const once = (key: string, make: () => Run): Run => {
    let run = made.get(key);
    if (!run) {
      run = make();
      made.set(key, run);
    }
    return run;
  };
  const forward = () =>
    once("forward", () => {
      const outputs = [{ value: network.output, place: wholeBuffer("u", dim) }];
      return new Run(network, network.program, { inputs: inputPlaces(network, "h0"), outputs, prefix: "b" });
    });
  const residual = () => once("residual", () => gradientRun(network, "residual"));
  const pass = (tangents: number, penalised: boolean) => {
    const shape = { tangents: tangents > 0, penalised };
    return once(JSON.stringify(shape), () => gradientRun(network, shape));
  };
  const range = (batch: Batch, tangents = 0): RunRange => ({
    ...batch,
    subgroup: subgroupForWeights(gpu.info),
    staged: !gpu.info.software,
    tangents,
  });

  /** Gradients of values, which begin the sums where they are asked to, and of tangents, one after the other. */
  const gradientsOf =
    (batch: Batch, begin: boolean): GradientPlan =>
    ({ tensor, matrix, batched, outputs, cotangent }, place, { tangents }) => {
      const at = (value: Value, s: number) => {
        const { buffer, row, rows } = place(value);
        return { name: buffer, row: row + s * rows };
      };
      const { capacity } = batch;
      const vectors = capacity / 4;
      const common = {
        info: gpu.info,
        network,
        batch,
        vectors,
        values: batched ? 0 : vectors,
        begin: begin && !batched,
      };
      return Array.from({ length: batched ? tangents : 1 }, (_, s) =>
        planLayerGradient(common, {
          outputs,
          ...(matrix && { matrix: { tensor, from: matrix.from, inputs: matrix.inputs, of: at(matrix.of, s) } }),
          vector: matrix ? matrix.bias : tensor,
          cotangents: at(cotangent, s),
        }),
      ).flat();
    };

  function tangentPass(
    batch: Batch,
    tangents: PassTangents,
    o: Parameters<Backward["pass"]>[1],
    names: Record<string, string>,
  ): Dispatch[] {
    const run = pass(tangents.count, o.penalty !== undefined);
    return [
      planTangentEnds({
        capacity: batch.capacity,
        count: batch.count,
        dim,
        first: tangents.first,
        tangents: tangents.count,
        weight: tangents.weight,
        names: { rows: "drows", top: "dtop", probes: tangents.probes },
      }),
      ...run.early(range(batch, tangents.count), names),
      ...(o.penalty
        ? [
            planPenalise({
              ...batch,
              dim,
              tangents: tangents.count,
              penalty: o.penalty,
              names: { cotangent: o.cotangent, top: "dtop" },
            }),
          ]
        : []),
      ...run.late(range(batch, tangents.count), names, gradientsOf(batch, o.begin)),
    ];
  }

  return {
    packings: [
      { name: weightNames.forward, layout: denseLayout(network, "forward") },
      { name: weightNames.backward, layout: denseLayout(network, "backward") },
    ],
    copies: (capacity) => gradientCopies(gpu.info, capacity, parameterCount),
    mostTangents: tangentsPerPass,
    buffers(capacity, tangents): PlannedBuffer[] {
      const rows = (name: string, features: number) => ({ name, bytes: features * capacity * 4 });
      return [
        ...["u", "ubar"].map((name) => rows(name, dim)),
        ...(tangents === 0 ? [] : ["drows", "dtop", "jv"].map((name) => rows(name, tangents * dim))),
        ...mergeBuffers(
          [
            forward(),
            residual(),
            pass(0, false),
            ...(tangents === 0 ? [] : [pass(tangents, false), pass(tangents, true)]),
          ].flatMap((run) => run.buffers(capacity, tangents)),
        ),
      ];
    },
    residual: (batch) => [
      ...residual().early(range(batch)),
      planResidual({ dim, capacity: batch.capacity, count: batch.count }),
      ...residual().late(range(batch), {}, gradientsOf(batch, true)),
    ],
    velocity: (batch, output) => forward().early(range(batch), { u: output }),
    pass(batch, o) {
      const names = { ubar: o.cotangent, xbar: o.xbar };
      if (o.tangents.count > 0) return tangentPass(batch, o.tangents, o, names);
      const run = pass(0, false);
      return [...run.early(range(batch), names), ...run.late(range(batch), names, gradientsOf(batch, o.begin))];
    },
  };
}
