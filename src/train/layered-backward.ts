import { planResidual } from "../../shaders/residual.ts";
import { planPenalise, planTangentEnds } from "../../shaders/tangent-ends.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Dispatch, mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import type { ChainDevice } from "../kernels/chain.ts";
import type { LinearPlan, RunRange } from "../kernels/rows.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import { gradientCopies, type WeightGradientCall } from "../kernels/weight-gradient.ts";
import { weightNames } from "../kernels/weights.ts";
import { must } from "../must.ts";
import { reverse, tangentOfX, withTangents } from "../network/derivatives.ts";
import type { Network } from "../network/network.ts";
import type { Value } from "../network/program.ts";
import { type Output, type Place, wholeBuffer } from "../network/stages.ts";
import { denseLayout } from "../velocity/dense-layout.ts";
import { type GradientPlan, inputPlaces, inputRows, type Renamed, Run } from "../velocity/run.ts";
import type { Backward, Batch, KeptPasses, LaterWeights, MostTangents, Pass, PassTangents } from "./backward.ts";
import { planLayerGradient } from "./layer-gradients.ts";

/** Tangents that share the recomputed values of a pass. */
const tangentsPerPass = 4;

/**
 * What a gradient is of: flow matching's residual, or a pass, with tangents and penalties on velocity and tangents where there are such.
 * Cotangents of a matrix of tangents lie behind those of the velocity, and so do theirs by the tangents.
 */
type GradientShape = "residual" | { readonly tangents: "none" | "trace" | "matrix"; readonly penalised: boolean };

type ChainTable = ChainDevice & { readonly table: string };

/** A network forward, with tangents where they are asked for, and in reverse, by x too in a pass; `keeps` all that gradients read. */
function gradientRun(network: Network, shape: GradientShape, chain?: ChainTable, keeps = false): Run {
  const isPass = shape !== "residual";
  const rows = (buffer: string) => wholeBuffer(buffer, network.dim);
  const behind = (buffer: string): Place => ({ ...rows(buffer), row: network.dim });
  const inputs = inputPlaces(network, "h0").set("ubar", rows("ubar"));
  const isMatrix = isPass && shape.tangents === "matrix";
  const made = isPass && shape.tangents !== "none" ? withTangents(network.program, network.output) : undefined;
  const { program, output } = made ?? { program: network.program.copy(), output: network.output };
  const cotangents = [{ of: output, cotangent: program.input("ubar", network.dim) }];
  if (made) {
    inputs.set(tangentOfX, rows("drows")).set("dtop", isMatrix ? behind("ubar") : rows("dtop"));
    cotangents.push({ of: made.tangent, cotangent: program.input("dtop", network.dim, true) });
  }
  const wanted = isMatrix ? ["x", tangentOfX] : isPass ? ["x"] : [];
  const back = reverse(program, cotangents, wanted, true);
  const outputs: Output[] = [];
  if (!isPass || shape.penalised || keeps) outputs.push({ value: output, place: rows("u") });
  if (made && keeps && isMatrix) outputs.push({ value: made.tangent, place: behind("u") });
  if (isPass && (shape.penalised || keeps) && made && !isMatrix)
    outputs.push({ value: made.tangent, place: rows("jv") });
  if (isPass) {
    const value = must(back.inputs.get("x"), "the gradient by x of a velocity, which depends on x");
    outputs.push({ value, place: rows("xbar"), ...(!isMatrix && { width: inputRows(network) }) });
  }
  if (isMatrix) {
    const value = must(back.inputs.get(tangentOfX), "the gradient by a tangent of x");
    outputs.push({ value, place: behind("xbar") });
  }
  const lateInputs = ["ubar", "dtop"];
  const prefix = keeps ? "kept" : "b";
  return new Run(network, program, { inputs, outputs, gradients: back.gradients, lateInputs, keeps, prefix }, chain);
}

const kindOf = (tangents: KeptPasses["tangents"]) =>
  "matrix" in tangents ? "matrix" : tangents.count > 0 ? "trace" : "none";

/** Where what a kept pass reads lies. */
const keptNames = ({ cotangent, tangents }: Pick<KeptPasses, "cotangent" | "tangents">): Renamed => ({
  ubar: cotangent,
  ...("matrix" in tangents && { drows: tangents.matrix }),
});

/** Any network: a kernel per layer and direction, activations in device memory. */
export function layeredBackward(gpu: Gpu, network: Network, linear?: LinearPlan, chain?: ChainDevice): Backward {
  const { dim, parameterCount } = network;
  const made = new Map<string, Run>();
  const once = (key: string, make: (chain?: ChainTable) => Run): Run => {
    let run = made.get(key);
    if (!run) {
      run = make(chain && { ...chain, table: `links of ${key}` });
      made.set(key, run);
    }
    return run;
  };
  const forward = () =>
    once("forward", (chain) => {
      const outputs = [{ value: network.output, place: wholeBuffer("u", dim) }];
      return new Run(network, network.program, { inputs: inputPlaces(network, "h0"), outputs, prefix: "b" }, chain);
    });
  /** The velocity, and what is made of a matrix of tangents behind it. */
  const product = () =>
    once("product", (chain) => {
      const made = withTangents(network.program, network.output);
      const inputs = inputPlaces(network, "h0").set(tangentOfX, wholeBuffer("drows", dim));
      const outputs = [
        { value: made.output, place: wholeBuffer("u", dim) },
        { value: made.tangent, place: { buffer: "u", row: dim, rows: dim } },
      ];
      return new Run(network, made.program, { inputs, outputs, prefix: "b" }, chain);
    });
  const residual = () => once("residual", (chain) => gradientRun(network, "residual", chain));
  const pass = (tangents: "none" | "trace" | "matrix", penalised: boolean) => {
    const shape = { tangents, penalised };
    return once(JSON.stringify(shape), (chain) => gradientRun(network, shape, chain));
  };
  const kept = (tangents: "none" | "trace" | "matrix") =>
    once(`kept ${tangents}`, (chain) => gradientRun(network, { tangents, penalised: false }, chain, true));
  const range = (batch: Batch, tangents = 0): RunRange => ({
    ...batch,
    subgroup: subgroupForWeights(gpu.info),
    linear,
    staged: !gpu.info.software,
    tangents,
  });

  const planSquares = ({ capacity, count, weighted = false }: Batch & { readonly weighted?: boolean }) =>
    planResidual({ dim, capacity, count, weighted });

  /** Gradients of values, which begin the sums where they are asked to, and of tangents, one after the other; of all passes that are kept. */
  const gradientsOf =
    (batch: Batch, sum: WeightGradientCall["sum"], all?: KeptPasses): GradientPlan =>
    ({ tensor, matrix, batched, outputs, cotangent }, place, { tangents }) => {
      const at = (value: Value) => {
        const { buffer, row, rows } = place(value);
        if (!all) return { name: buffer, row, rows };
        const turn = must(all.parts.get(keptNames(all)[buffer] ?? buffer), `the parts of "${buffer}"`) / (4 * capacity);
        return { name: buffer, row: row + all.first * turn, rows, turn };
      };
      const { capacity } = batch;
      const vectors = capacity / 4;
      const common = {
        info: gpu.info,
        network,
        batch,
        vectors,
        values: batched ? 0 : vectors,
        sum: batched ? ("added" as const) : sum,
        sources: { turns: all?.passes ?? 1, tangents: batched ? tangents : 1 },
      };
      return planLayerGradient(common, {
        outputs,
        ...(matrix && { matrix: { tensor, from: matrix.from, inputs: matrix.inputs, of: at(matrix.of) } }),
        vector: matrix ? matrix.bias : tensor,
        cotangents: at(cotangent),
      });
    };

  /** Both ends of the tangents of a trace. */
  function planEnds({ capacity, count }: Batch, tangents: PassTangents): Dispatch[] {
    if ("matrix" in tangents || tangents.count === 0) return [];
    const { first, weight, probes } = tangents;
    const names = { rows: "drows", top: "dtop", probes };
    return [planTangentEnds({ capacity, count, dim, first, tangents: tangents.count, weight, names })];
  }

  /** A pass by a run of its kind, with penalties where its forward and reverse part meet, and with the gradients by the weights. */
  function planPass(
    run: Run,
    batch: Batch,
    { tangents, cotangent, xbar, penalty }: Omit<Pass, "begin">,
    plan: GradientPlan,
  ): Dispatch[] {
    const trace = "matrix" in tangents ? undefined : tangents;
    const names = { ...keptNames({ cotangent, tangents }), xbar };
    const all = range(batch, tangents.count);
    const dispatches = [...planEnds(batch, tangents), ...run.early(all, names)];
    if (penalty)
      dispatches.push(
        planPenalise({
          ...batch,
          dim,
          tangents: trace?.count ?? 0,
          penalty,
          row: dim * (trace ? 1 : 1 + tangents.count),
          names: { cotangent, top: "dtop" },
        }),
      );
    return [...dispatches, ...run.late(all, names, plan)];
  }

  const keptRuns = ({ count, kind }: MostTangents) => [kept("none"), ...(count > 0 ? [kept(kind)] : [])];
  const later: LaterWeights = {
    tables: (tangents) => keptRuns(tangents).flatMap((run) => run.tables),
    buffers: (capacity, { count, kind }) =>
      mergeBuffers([
        ...["drows", "dtop"].map((name) => ({ name, bytes: 4 * count * dim * capacity })),
        ...keptRuns({ count, kind }).flatMap((run) => run.buffers(capacity, count)),
      ]).filter(({ bytes }) => bytes > 0),
    forward(batch, { output, tangents }) {
      const names = { u: output, ...("matrix" in tangents && { drows: tangents.matrix }) };
      const early = kept(kindOf(tangents)).early(range(batch, tangents.count), names);
      return [...planEnds(batch, tangents), ...early];
    },
    reverse(batch, { cotangent, xbar, tangents }) {
      const names = { ...keptNames({ cotangent, tangents }), xbar };
      return kept(kindOf(tangents)).late(range(batch, tangents.count), names);
    },
    weights(batch, o) {
      const plan = gradientsOf(batch, o.begin ? "first" : "added", o);
      return kept(kindOf(o.tangents)).gradients(range(batch, o.tangents.count), keptNames(o), plan);
    },
  };

  return {
    ...(gpu.info.software && { later }),
    packings: [
      { name: weightNames.forward, layout: denseLayout(network, "forward") },
      { name: weightNames.backward, layout: denseLayout(network, "backward") },
    ],
    copies: (capacity) => gradientCopies(gpu.info, capacity, parameterCount),
    mostTangents: tangentsPerPass,
    buffers(capacity, { count: tangents, kind }): PlannedBuffer[] {
      const rows = (name: string, features: number) => ({ name, bytes: features * capacity * 4 });
      return [
        ...["u", "ubar"].map((name) => rows(name, dim)),
        ...(tangents === 0 ? [] : ["drows", "dtop", "jv"].map((name) => rows(name, tangents * dim))),
        ...mergeBuffers(
          [
            forward(),
            residual(),
            pass("none", false),
            ...(tangents === 0 ? [] : [pass(kind, false), pass(kind, true)]),
            ...(kind === "matrix" ? [product()] : []),
          ].flatMap((run) => [...run.buffers(capacity, tangents), ...run.tables]),
        ),
      ];
    },
    squares: (batch) => [...forward().early(range(batch)), planSquares(batch)],
    residual: (batch) => [
      ...residual().early(range(batch)),
      planSquares(batch),
      ...residual().late(range(batch), {}, gradientsOf(batch, "only")),
    ],
    velocity: (batch, output, tangents) =>
      tangents
        ? product().early(range(batch, tangents.count), { u: output, drows: tangents.matrix })
        : forward().early(range(batch), { u: output }),
    pass(batch, o) {
      const run = pass(kindOf(o.tangents), o.penalty !== undefined);
      return planPass(run, batch, o, gradientsOf(batch, o.begin ? "first" : "added"));
    },
  };
}
