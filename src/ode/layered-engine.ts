import { planConditionRows } from "../../shaders/condition-rows.ts";
import { currently, type Numeric, scaled } from "../../shaders/interface.ts";
import { planFinishStep, planMix, planStageInput } from "../../shaders/stages.ts";
import { planStageMatrix, planStepJacobian } from "../../shaders/step-jacobian.ts";
import { planClassColumns } from "../../shaders/table-inputs.ts";
import { planTangentDot, planTangentInput } from "../../shaders/tangents.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Dispatch, mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import type { ChainDevice } from "../kernels/chain.ts";
import { classesName, type LinearPlan, type RunRange, tableName } from "../kernels/rows.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import { weightNames } from "../kernels/weights.ts";
import type { Network } from "../network/network.ts";
import { type SplitNetwork, splitNetwork, tablePlaces } from "../network/split.ts";
import { stageRow } from "../solvers/stage-row.ts";
import { denseLayout } from "../velocity/dense-layout.ts";
import { type Parameters, plainLayout } from "../velocity/parameters.ts";
import { inputRows, type Renamed } from "../velocity/run.ts";
import { branchesOf, conditionBuffers } from "./branches.ts";
import {
  type Chunk,
  type Conditions,
  type DivergenceMode,
  type Engine,
  type Evaluation,
  names,
  tangentsOf,
  worthTable,
} from "./engine.ts";
import { type RunKind, runsOf } from "./network-runs.ts";
import { NetworkTable } from "./network-table.ts";

/** Tangents that go through the layers in one batch. */
const tangentsPerPass = 4;

const isEvaluation = (mode: DivergenceMode | Evaluation): mode is Evaluation => typeof mode === "string";

/** The input rows of a branch of the guided mix. */
export const inputOf = (branch: number) => (branch === 0 ? "h0" : "h0.label");

/** What a call needs of the network: its values, tangents (and how many at a time), or the reverse. */
function demand(dim: number, mode: DivergenceMode | Evaluation): { run: RunKind; tangents: number } {
  if (mode === "jvp") return { run: "tangents", tangents: 1 };
  if (mode === "vjp") return { run: "reverse", tangents: 0 };
  if (isEvaluation(mode)) return { run: "values", tangents: 0 };
  if (mode.mode === "discrete") return { run: "products", tangents: dim };
  const all = tangentsOf(dim, mode);
  return { run: all > 0 ? "tangents" : "values", tangents: Math.min(tangentsPerPass, all) };
}

/** The two parts of a network whose part of time and class is worth a table. */
function worthSplitting({ program, output, multiplyAdds }: Network): SplitNetwork | undefined {
  const split = splitNetwork(program, output);
  return multiplyAdds - split.program.multiplyAdds > worthTable * multiplyAdds ? split : undefined;
}

/** A network of any width and dimension: a kernel per layer, activations in device memory; `linear` plans its products where it can. */
export function layeredEngine(
  gpu: Gpu,
  network: Network,
  parameters: Parameters,
  linear?: LinearPlan,
  chain?: ChainDevice,
): Engine {
  const { dim, classes, context } = network;
  const flops = 2 * network.multiplyAdds;
  const conditioned = classes + context > 0;
  const tiling = { subgroup: subgroupForWeights(gpu.info), staged: !gpu.info.software, linear };
  const classesOf = (branch: number) => (branch === 0 ? classesName : `${classesName}.label`);
  const namesOf = (branch: number): Renamed => ({ h0: inputOf(branch), [classesName]: classesOf(branch) });
  const { program, output } = network;
  const split = worthSplitting(network);
  const runs = runsOf(network, { program, output, places: new Map() }, split ? undefined : chain);
  const table = split && new NetworkTable(network, split.table, false);
  /** In a solve all particles have one time: what depends on it and the class alone is read from a table. */
  const solving = split ? runsOf(network, { ...split, places: tablePlaces(split.table, tableName) }) : runs;
  const layouts = {
    [weightNames.forward]: denseLayout(network, "forward"),
    [weightNames.backward]: denseLayout(network, "backward"),
    ...(network.tensors.some(({ shape }) => shape.length === 1) && {
      [weightNames.flat]: plainLayout(network.parameterCount),
    }),
  };

  /** The network at the input rows of every branch, its outputs mixed into `output`; `after` runs behind each branch's pass. */
  function evaluateBranches(
    chunk: Chunk,
    conditions: Conditions,
    run: RunKind,
    output: string,
    after: (weight: number, branch: number, names: Renamed) => Dispatch[],
    at?: RunRange["table"],
  ): Dispatch[] {
    const branches = branchesOf(network, conditions);
    const { capacity } = chunk;
    const tangents = run === "products" ? dim : 0;
    const range = { ...chunk, ...tiling, tangents, table: at };
    const own = at ? solving : runs;
    if (branches.count === 1)
      return [...own(run).early(range, { u: output, ...namesOf(0) }), ...after(1, 0, namesOf(0))];
    return [branches.weightNull, branches.weightLabel].flatMap((weight, branch) => [
      ...own(run).early(range, namesOf(branch)),
      planMix({ capacity, dim: dim * (1 + tangents), weight, add: branch > 0, value: "u", target: output }),
      ...after(weight, branch, namesOf(branch)),
    ]);
  }

  /** Passes of tangents behind a forward pass; every pass adds its part of the divergence, times `weight`, to `sums`. */
  function divergencePasses(
    chunk: Chunk,
    mode: DivergenceMode,
    weight: Numeric,
    each: boolean,
    begin: boolean,
    sums: string,
    own: Renamed,
    at?: RunRange["table"],
    hasBasis = false,
  ): Dispatch[] {
    const total = tangentsOf(dim, mode);
    const basis = mode.mode === "exact";
    const dispatches: Dispatch[] = [];
    for (let first = 0; first < total; first += tangentsPerPass) {
      const tangents = Math.min(tangentsPerPass, total - first);
      const common = { capacity: chunk.capacity, dim, first, tangents };
      dispatches.push(
        ...(hasBasis ? [] : [planTangentInput({ ...common, probes: basis ? undefined : names.probes, input: "dh0" })]),
        ...(at ? solving : runs)("tangents").late({ ...chunk, ...tiling, tangents, table: at }, own),
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
    time: Numeric | { times: string },
    a: readonly Numeric[],
    ks: readonly string[],
  ): Dispatch[] {
    return Array.from({ length: branchesOf(network, conditions).count }, (_, branch) =>
      planStageInput({
        capacity: chunk.capacity,
        dim,
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
    contextWidth: context,
    family: `layered ${network.tensors.map(({ shape }) => shape)}`,
    flops,
    divergenceFlops: (mode) => (1 + tangentsOf(dim, mode)) * flops,
    scratchFloats(mode, stages = 0) {
      const { run, tangents } = demand(dim, mode);
      return (
        (conditioned ? 2 : 1) * inputRows(network) +
        Math.max(runs(run).floats(tangents), run === "reverse" ? 0 : solving(run).floats(tangents)) +
        dim * (3 + stages + 2 * tangents) +
        (run === "products" ? dim * dim * (2 + stages) : 0)
      );
    },
    shared: (session) => parameters.lease(session, layouts),
    buffers(chunk, conditions, mode, stages = 0) {
      const { run, tangents } = demand(dim, mode);
      const { capacity } = chunk;
      const rows = (name: string, features: number): PlannedBuffer => ({ name, bytes: features * capacity * 4 });
      const solves = stages > 0 ? solving : runs;
      const own = solves(run).buffers(capacity, tangents);
      const branches = branchesOf(network, conditions).count;
      const results = run === "products" ? dim * (1 + dim) : dim;
      return [
        ...Array.from({ length: branches }, (_, branch) => rows(inputOf(branch), inputRows(network))),
        rows("u", results),
        rows("u.mixed", dim),
        // a stage without a weight needs the values only
        ...(tangents > 0 && !isEvaluation(mode)
          ? mergeBuffers([...own, ...solves("values").buffers(capacity, 0), ...solves("values").tables])
          : own),
        ...solves(run).tables,
        ...(tangents > 0 ? [rows("dh0", tangents * dim), rows("jv", tangents * dim)] : []),
        ...(mode === "vjp" ? [rows("xbar", dim)] : []),
        ...Array.from({ length: stages }, (_, s) => rows(`k${s}`, results)),
        ...conditionBuffers(chunk, conditions, context),
        ...(table && stages > 0
          ? [
              ...table.buffers(stages),
              ...(classes > 0 ? Array.from({ length: branches }, (_, branch) => rows(classesOf(branch), 1)) : []),
            ]
          : []),
      ];
    },
    begin({ count, capacity }, conditions, solves = false) {
      if (!conditioned) return [];
      const branches = branchesOf(network, conditions);
      const isNull = (branch: number) => branch === 0 && branches.nullFirst;
      const labelsOf = (branch: number) => (conditions.labels && !isNull(branch) ? "labels" : undefined);
      return Array.from({ length: branches.count }, (_, branch) => [
        ...(table && solves && classes > 0
          ? [planClassColumns({ capacity, count, classes, target: classesOf(branch), labels: labelsOf(branch) })]
          : []),
        planConditionRows({
          capacity,
          count,
          row: dim + 1,
          classes,
          context,
          input: inputOf(branch),
          labels: labelsOf(branch),
          // without classes it is the context that the null field lacks
          contextRows: conditions.context && (classes > 0 || !isNull(branch)) ? "context" : undefined,
        }),
      ]).flat();
    },
    integrate(chunk, conditions, { stages, schedule, isLive, divergence, kept, goesOn }, firstStep, lastStep) {
      const dispatches: Dispatch[] = [];
      const { capacity } = chunk;
      const isDiscrete = divergence.mode === "discrete";
      const ks = Array.from({ length: stages }, (_, s) => (s === 0 && kept !== undefined ? kept : `k${s}`));
      const tracks = divergence.mode !== "none";
      const atOnce = table?.stepsAtOnce(stages) ?? lastStep - firstStep;
      let columns = 0;
      // unit vectors that are all of the tangents stay from stage to stage
      const staysBasis = divergence.mode === "exact" && dim <= tangentsPerPass;
      let hasBasis = staysBasis && goesOn === true;
      for (let step = firstStep; step < lastStep; step++) {
        const inGroup = (step - firstStep) % atOnce;
        if (table && inGroup === 0) {
          const made = table.plan(chunk.maxFlops, stages, step, Math.min(lastStep, step + atOnce));
          columns = made.columns;
          dispatches.push(...made.dispatches);
        }
        const b: Numeric[] = [];
        for (let stage = 0; stage < stages; stage++) {
          const { time, weight, a } = stageRow(schedule, stages, step, stage, isLive);
          b.push(weight);
          dispatches.push(...stageInputs(chunk, conditions, time, a, ks.slice(0, stage)));
          const needsDivergence = tracks && !isDiscrete && currently(weight) !== 0;
          if (isDiscrete)
            dispatches.push(...planStageMatrix({ capacity, dim, a, ks: ks.slice(0, stage), matrix: "dh0" }));
          const at = table && { columns, column: (inGroup * stages + stage) * table.perStage };
          dispatches.push(
            ...evaluateBranches(
              chunk,
              conditions,
              isDiscrete ? "products" : needsDivergence ? "tangents" : "values",
              ks[stage] as string,
              (branchWeight, _, own) => {
                if (!needsDivergence) return [];
                const before = hasBasis;
                hasBasis = staysBasis;
                return divergencePasses(
                  chunk,
                  divergence,
                  scaled(weight, -branchWeight),
                  divergence.mode === "probes",
                  false,
                  names.integral,
                  own,
                  at,
                  before,
                );
              },
              at,
            ),
          );
        }
        const { state, integral } = names;
        dispatches.push(...planFinishStep({ capacity, dim, b, ks, state }));
        if (isDiscrete) dispatches.push(...planStepJacobian({ capacity, dim, b, ks, state, integral }));
      }
      return dispatches;
    },
    evaluate(chunk, conditions, output, divergence) {
      const inputs = stageInputs(chunk, conditions, { times: names.times }, [], []);
      const { capacity } = chunk;
      if (output === "velocity")
        return [...inputs, ...evaluateBranches(chunk, conditions, "values", names.velocity, () => [])];
      if (output === "both") {
        const each = divergence.mode === "probes";
        return [
          ...inputs,
          ...evaluateBranches(chunk, conditions, "tangents", names.velocity, (weight, branch, own) =>
            divergencePasses(chunk, divergence, weight, each, branch === 0, names.divergence, own),
          ),
        ];
      }
      if (output === "divergence") {
        const scale = divergence.mode === "probes" ? 1 / divergence.count : 1;
        return [
          ...inputs,
          ...evaluateBranches(chunk, conditions, "tangents", "u.mixed", (weight, branch, own) =>
            divergencePasses(chunk, divergence, weight * scale, false, branch === 0, names.divergence, own),
          ),
        ];
      }
      // J·v or Jᵀ·w of every branch, mixed like the velocity
      const product = output === "jvp" ? "jv" : "xbar";
      const mixed = branchesOf(network, conditions).count > 1;
      const [run, given] = output === "jvp" ? (["tangents", "dh0"] as const) : (["reverse", "ubar"] as const);
      return [
        ...inputs,
        ...evaluateBranches(chunk, conditions, run, names.velocity, (weight, branch, own) => [
          ...runs(run).late(
            { ...chunk, ...tiling, tangents: 1 },
            { ...own, [given]: names.tangent, ...(mixed ? {} : { [product]: names.product }) },
          ),
          ...(mixed
            ? [planMix({ capacity, dim, weight, add: branch > 0, value: product, target: names.product })]
            : []),
        ]),
      ];
    },
  };
}
