import type { Gpu } from "../gpu/gpu.ts";
import { type Dispatch, mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import {
  planConditionRows,
  planFinishStep,
  planMix,
  planStageInput,
  planTangentDot,
  planTangentInput,
} from "../kernels/stages.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import { weightNames } from "../kernels/weights.ts";
import { reverse, withTangents } from "../network/derivatives.ts";
import type { Network } from "../network/network.ts";
import type { Value } from "../network/program.ts";
import { stageRow } from "../solvers/schedule.ts";
import { denseLayout } from "../velocity/dense-layout.ts";
import { type Parameters, plainLayout } from "../velocity/parameters.ts";
import { inputPlaces, inputRows, Run } from "../velocity/run.ts";
import { branchesOf, conditionBuffers } from "./branches.ts";
import { type Chunk, type Conditions, type DivergenceMode, type Engine, type Evaluation, names } from "./engine.ts";

/** Tangents that go through the layers in one batch. */
const tangentsPerPass = 4;

const isEvaluation = (mode: DivergenceMode | Evaluation): mode is Evaluation => typeof mode === "string";

/** What a call needs of the network: its values, tangents (and how many at a time), or the reverse. */
function demand(
  dim: number,
  mode: DivergenceMode | Evaluation,
): { run: "values" | "tangents" | "reverse"; tangents: number } {
  if (mode === "jvp") return { run: "tangents", tangents: 1 };
  if (mode === "vjp") return { run: "reverse", tangents: 0 };
  if (isEvaluation(mode)) return { run: "values", tangents: 0 };
  const all = mode.mode === "exact" ? dim : mode.mode === "probes" ? mode.count : 0;
  return { run: all > 0 ? "tangents" : "values", tangents: Math.min(tangentsPerPass, all) };
}

/** The programs of a network, each made when it is first needed. Inputs are in "h0", the velocity goes to "u". */
class Runs {
  readonly #network: Network;
  #values: Run | undefined;
  #tangents: Run | undefined;
  #reverse: Run | undefined;

  constructor(network: Network) {
    this.#network = network;
  }

  #rows(buffer: string) {
    return { buffer, row: 0, rows: this.#network.dim };
  }

  get values(): Run {
    const { program, output } = this.#network;
    this.#values ??= new Run(this.#network, program, {
      inputs: inputPlaces(this.#network, "h0"),
      outputs: [{ value: output, place: this.#rows("u") }],
      prefix: "n",
    });
    return this.#values;
  }

  /** "dh0" → "jv", [tangents][dim]. */
  get tangents(): Run {
    if (this.#tangents) return this.#tangents;
    const network = this.#network;
    const made = withTangents(network.program, [network.output], new Map([["x", "dx"]]));
    const [value = 0] = made.values;
    const [tangent] = made.tangents;
    const inputs = inputPlaces(network, "h0").set("dx", this.#rows("dh0"));
    const outputs = [
      { value, place: this.#rows("u") },
      { value: moved(tangent), place: this.#rows("jv") },
    ];
    this.#tangents = new Run(network, made.program, { inputs, outputs, lateInputs: ["dx"], prefix: "n" });
    return this.#tangents;
  }

  /** "ubar" → "xbar". */
  get reverse(): Run {
    if (this.#reverse) return this.#reverse;
    const network = this.#network;
    const program = network.program.copy();
    const cotangent = program.input("ubar", network.dim);
    const { inputs: cotangents } = reverse(program, [{ of: network.output, cotangent }], ["x"], false);
    const xbar = cotangents.get("x");
    this.#reverse = new Run(network, program, {
      inputs: inputPlaces(network, "h0").set("ubar", this.#rows("ubar")),
      outputs: [
        { value: network.output, place: this.#rows("u") },
        { value: moved(xbar), place: this.#rows("xbar") },
      ],
      lateInputs: ["ubar"],
      prefix: "n",
    });
    return this.#reverse;
  }
}

/** A derivative by x of a velocity, which depends on x. */
function moved(value: Value | undefined): Value {
  if (value === undefined) throw new Error("the velocity does not depend on x");
  return value;
}

/** A network of any width and dimension: a kernel per layer, activations in device memory. */
export function layeredEngine(gpu: Gpu, network: Network, parameters: Parameters): Engine {
  const { dim, classes, context } = network;
  const flops = 2 * network.multiplyAdds;
  const conditioned = classes + context > 0;
  const tiling = { subgroup: subgroupForWeights(gpu.info), staged: !gpu.info.software };
  const inputOf = (branch: number) => (branch === 0 ? "h0" : "h0.label");
  const allTangents = (mode: DivergenceMode) => (mode.mode === "exact" ? dim : mode.mode === "probes" ? mode.count : 0);
  const runs = new Runs(network);
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
    run: "values" | "tangents" | "reverse",
    output: string,
    after: (weight: number, branch: number, input: string) => Dispatch[],
  ): Dispatch[] {
    const branches = branchesOf(network, conditions);
    const { capacity } = chunk;
    const range = { ...chunk, ...tiling, tangents: 0 };
    if (branches.count === 1) return [...runs[run].early(range, { u: output }), ...after(1, 0, inputOf(0))];
    return [branches.weightNull, branches.weightLabel].flatMap((weight, branch) => [
      ...runs[run].early(range, { h0: inputOf(branch) }),
      planMix({ capacity, dim, weight, add: branch > 0, value: "u", target: output }),
      ...after(weight, branch, inputOf(branch)),
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
    input: string,
  ): Dispatch[] {
    const total = allTangents(mode);
    const basis = mode.mode === "exact";
    const dispatches: Dispatch[] = [];
    for (let first = 0; first < total; first += tangentsPerPass) {
      const tangents = Math.min(tangentsPerPass, total - first);
      const common = { capacity: chunk.capacity, dim, first, tangents };
      dispatches.push(
        planTangentInput({ ...common, probes: basis ? undefined : names.probes, input: "dh0" }),
        ...runs.tangents.late({ ...chunk, ...tiling, tangents }, { h0: input }),
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
    divergenceFlops: (mode) => (1 + allTangents(mode)) * flops,
    scratchFloats(mode, stages = 0) {
      const { run, tangents } = demand(dim, mode);
      return (
        (conditioned ? 2 : 1) * inputRows(network) + runs[run].floats(tangents) + dim * (3 + stages + 2 * tangents)
      );
    },
    shared: (session) => parameters.lease(session, layouts),
    buffers(chunk, conditions, mode, stages = 0) {
      const { run, tangents } = demand(dim, mode);
      const { capacity } = chunk;
      const rows = (name: string, features: number): PlannedBuffer => ({ name, bytes: features * capacity * 4 });
      const own = runs[run].buffers(capacity, tangents);
      const branches = branchesOf(network, conditions).count;
      return [
        ...Array.from({ length: branches }, (_, branch) => rows(inputOf(branch), inputRows(network))),
        rows("u", dim),
        rows("u.mixed", dim),
        // a stage without a weight needs the values only
        ...(tangents > 0 && !isEvaluation(mode) ? mergeBuffers([...own, ...runs.values.buffers(capacity, 0)]) : own),
        ...(tangents > 0 ? [rows("dh0", tangents * dim), rows("jv", tangents * dim)] : []),
        ...(mode === "vjp" ? [rows("xbar", dim)] : []),
        ...Array.from({ length: stages }, (_, s) => rows(`k${s}`, dim)),
        ...conditionBuffers(chunk, conditions, context),
      ];
    },
    begin({ count, capacity }, conditions) {
      if (!conditioned) return [];
      const branches = branchesOf(network, conditions);
      return Array.from({ length: branches.count }, (_, branch) =>
        planConditionRows({
          capacity,
          count,
          row: dim + 1,
          classes,
          context,
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
            ...evaluateBranches(
              chunk,
              conditions,
              needsDivergence ? "tangents" : "values",
              ks[stage] ?? "",
              (branchWeight, _, input) =>
                needsDivergence
                  ? divergencePasses(
                      chunk,
                      divergence,
                      -weight * branchWeight,
                      divergence.mode === "probes",
                      false,
                      names.integral,
                      input,
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
        return [...inputs, ...evaluateBranches(chunk, conditions, "values", names.velocity, () => [])];
      if (output === "both") {
        const each = divergence.mode === "probes";
        return [
          ...inputs,
          ...evaluateBranches(chunk, conditions, "tangents", names.velocity, (weight, branch, input) =>
            divergencePasses(chunk, divergence, weight, each, branch === 0, names.divergence, input),
          ),
        ];
      }
      if (output === "divergence") {
        const scale = divergence.mode === "probes" ? 1 / divergence.count : 1;
        return [
          ...inputs,
          ...evaluateBranches(chunk, conditions, "tangents", "u.mixed", (weight, branch, input) =>
            divergencePasses(chunk, divergence, weight * scale, false, branch === 0, names.divergence, input),
          ),
        ];
      }
      // J·v or Jᵀ·w of every branch, mixed like the velocity
      const product = output === "jvp" ? "jv" : "xbar";
      const mixed = branchesOf(network, conditions).count > 1;
      const [run, given] = output === "jvp" ? (["tangents", "dh0"] as const) : (["reverse", "ubar"] as const);
      return [
        ...inputs,
        ...evaluateBranches(chunk, conditions, run, names.velocity, (weight, branch, input) => [
          ...runs[run].late(
            { ...chunk, ...tiling, tangents: 1 },
            { h0: input, [given]: names.tangent, ...(mixed ? {} : { [product]: names.product }) },
          ),
          ...(mixed
            ? [planMix({ capacity, dim, weight, add: branch > 0, value: product, target: names.product })]
            : []),
        ]),
      ];
    },
  };
}
