import { type ChainShape, chainKernel, chainLink, chainRoom, mostGiven } from "../../shaders/chain.ts";
import { dispatchOf } from "../../shaders/dispatch.ts";
import { heldWorkgroup } from "../../shaders/held-dense.ts";
import { finishShape } from "../../shaders/optional-stores.ts";
import type { ClusterShape } from "../../shaders/rows.ts";
import { weightWindow } from "../../shaders/tiling.ts";
import { nowhere } from "../../shaders/weight-gradient.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { item, must } from "../must.ts";
import { argumentsOf, type Program, type StepOf, type Value } from "../network/program.ts";
import { baseOf, type Schedule, type Stage } from "../network/stages.ts";
import { type DenseCall, vectorRanges } from "./dense.ts";
import { finishOf, unusedBuffers } from "./finish.ts";
import { heldInputs } from "./held-dense.ts";
import type { RunRange, StagePlanner } from "./rows.ts";
import { type WeightPlaces, weightNames } from "./weights.ts";

/** What chains are made for. */
export interface ChainDevice {
  /** The weights, whose packings are windows as a whole. */
  readonly places: WeightPlaces;
  readonly subgroup: number;
}

/** Most inputs of a layer in a chain, and of one that reads another buffer than that of the values. */
const most = { inputs: 64, given: mostGiven } as const;

type Fields = Readonly<Record<string, number>>;

/** A stage as a link, with what decides where it may be: its finish, whether it reads biases, and its packing, if it has one. */
interface Link {
  readonly finish: ChainShape["finish"] | undefined;
  /** The packing that a layer reads. */
  readonly weights: string | undefined;
  readonly rows: ClusterShape | undefined;
  /** Inputs that are held; 0 for functions of rows. */
  readonly held: number;
  readonly bias: boolean;
  /** Buffers beside that of the values: of the inputs, and of the sums themselves. */
  readonly given: string | undefined;
  readonly result: string | undefined;
  /** By the names of {@link chainLink}. */
  readonly fields: Fields;
  /** FLOPs of four particles, and whether for each tangent. */
  readonly flops: number;
  readonly batched: boolean;
}

/** Links that follow each other in one dispatch. */
interface Chain {
  readonly kernel: ReturnType<typeof chainKernel>;
  readonly links: readonly Link[];
  /** The number of its table. */
  readonly table: number;
  readonly weights: string;
  readonly given: readonly string[];
  readonly result: string | undefined;
}

const leaf = { binding: 0, batched: true, single: false, parameter: false };
const shared = { ...leaf, batched: false };

/** The functions of rows that a divergence's gradient has behind an activation: one cotangent, and those of the tangents in sum. */
const sumOverTangents: ClusterShape = {
  bindings: [true],
  parameters: [],
  leaves: [leaf, shared, shared],
  results: [
    { function: { name: "total" }, of: [{ leaf: 0 }], batched: false },
    { function: { name: "multiply" }, of: [{ leaf: 1 }, { result: 0 }], batched: false },
    { function: { name: "add" }, of: [{ result: 1 }, { leaf: 2 }], batched: false },
  ],
  stores: [{ ...shared, of: { result: 2 } }],
};

type OtherStage = Exclude<Stage, { kind: "gradient" }>;

const tableBytes = 4 * chainLink.words * chainRoom.links;

/** A layer, whose values lie in the buffer `values`. */
function layerLink(
  values: string,
  { places }: ChainDevice,
  call: Omit<DenseCall, "batch">,
  { transposed, tensor, from, bias }: StepOf<"linear">,
  batched: boolean,
): Link | undefined {
  const { inputs, outputs, given, names, cluster } = call;
  if (inputs > most.inputs || (!transposed && from % 4 !== 0)) return undefined;
  const made = finishOf(cluster, names.cluster, values);
  if (!made) return undefined;
  const { weights, rowVectors } = places.matrix(tensor, !transposed);
  const begin = weights + (transposed ? from * rowVectors : from / 4);
  if (begin + outputs * rowVectors > weightWindow.vectors) return undefined;
  const { finish, buffers } = made;
  const numbers: Record<string, number> = { ...made.numbers };
  const shape = finishShape(finish);
  const isThere = (kind: "l" | "s", i: number) => kind === "l" || numbers[`s${i}`] !== nowhere;
  const leavesThere = shape.leaves.every(({ binding }, i) => !isThere("l", i) || item(buffers, binding) === values);
  if (!leavesThere) return undefined;
  let result: string | undefined;
  let resultAt: readonly [number, number] = [nowhere, 0];
  for (const [i, { binding }] of shape.stores.entries()) {
    const name = item(buffers, binding);
    if (!isThere("s", i) || name === values) continue;
    // the sum itself may lie elsewhere
    if (finish !== "products" || i > 0) return undefined;
    result = name;
    resultAt = [must(numbers[`s${i}`], "a row"), must(numbers[`s${i}_rows`], "the rows of a tangent")];
    numbers[`s${i}`] = nowhere;
  }
  const isPlain =
    finish === "products" && shape.stores.every((_, i) => numbers[`s${i}`] === nowhere) && result !== undefined;
  const isGiven = names.in !== values;
  if (isGiven && inputs > most.given) return undefined;
  return {
    finish: isPlain ? undefined : finish,
    weights: transposed ? weightNames.forward : weightNames.backward,
    rows: undefined,
    held: heldInputs(inputs),
    bias: bias !== undefined,
    given: isGiven ? names.in : undefined,
    result,
    fields: {
      ...numbers,
      batched: batched ? 1 : 0,
      inputs,
      outputs,
      given: given.row,
      given_rows: given.rows,
      weights: begin,
      row_vectors: rowVectors,
      bias: bias === undefined ? nowhere : places.bias(bias, !transposed),
      result: resultAt[0],
      result_rows: resultAt[1],
    },
    flops: 4 * (2 * inputs + call.work) * outputs,
    batched,
  };
}

/** Functions of rows that read and store values alone. */
function rowsLink(
  values: string,
  {
    shape,
    numbers,
    buffers,
  }: { shape: ClusterShape; numbers: Readonly<Record<string, number>>; buffers: readonly string[] },
  width: number,
): Link | undefined {
  if (buffers.some((name) => name !== values)) return undefined;
  if (shape.leaves.length > chainRoom.leaves || shape.stores.length > chainRoom.stores) return undefined;
  return {
    finish: "products",
    weights: undefined,
    rows: shape,
    held: 0,
    bias: false,
    given: undefined,
    result: undefined,
    fields: { ...numbers, batched: 0, inputs: 0, outputs: width, result: nowhere },
    flops: 4 * width * shape.results.length,
    batched: shape.leaves.some(({ batched }) => batched),
  };
}

/** Whether what two stages want of a chain is one thing, or one of them does not mind. */
const agree = (one: unknown, other: unknown) =>
  one === undefined || other === undefined || JSON.stringify(one) === JSON.stringify(other);

/** What a value is made of that stages store: the parts of a concatenation, what a slice is a part of. */
function* stored(p: Program, value: Value): Generator<Value> {
  const base = baseOf(p, value);
  const step = p.at(base);
  yield base;
  if (step.kind === "concat") for (const part of step.parts) if (typeof part === "number") yield* stored(p, part);
}

/** The kernels of some stages of a schedule whose values have rows of their own in one buffer: as many of them together as may be. */
export class Chains {
  readonly #parts: readonly (Chain | OtherStage)[];
  readonly #table: string;
  readonly #values: string;
  readonly #device: ChainDevice;

  private constructor(parts: readonly (Chain | OtherStage)[], table: string, values: string, device: ChainDevice) {
    this.#parts = parts;
    this.#table = table;
    this.#values = values;
    this.#device = device;
  }

  /**
   * Chains begin at layers, and take what fits and does not wait for a stage that is left out. Undefined where a layer can be no link.
   * Gradients are left out.
   */
  static of(
    { program }: Pick<Schedule, "program">,
    stages: readonly Stage[],
    planner: StagePlanner,
    device: ChainDevice,
    names: { readonly table: string; readonly values: string },
  ): Chains | undefined {
    const all = stages.filter((stage) => stage.kind !== "gradient");
    const links = new Map<Stage, Link>();
    for (const stage of all) {
      if (stage.kind === "project") return undefined;
      const link =
        stage.kind === "linear"
          ? planner.ofLayer(stage, (call, step) =>
              layerLink(names.values, device, call, step, program.at(stage.value).batched),
            )
          : stage.kind === "rows"
            ? rowsLink(names.values, planner.ofRows(stage), stage.width)
            : undefined;
      if (link) links.set(stage, link);
      else if (stage.kind === "linear") return undefined;
    }
    const makes = (stage: Stage) =>
      "cluster" in stage ? stage.cluster.stores.map((value) => baseOf(program, value)) : [];
    const reads = (stage: Stage): Value[] => {
      if (!("cluster" in stage)) return stage.kind === "copy" && stage.from !== undefined ? [stage.from] : [];
      const own =
        stage.kind === "linear" || stage.kind === "project"
          ? [stage.value]
          : stage.kind === "sums"
            ? [...stage.sums, ...stage.inner]
            : [];
      return [...own, ...stage.cluster.members].flatMap((value) => argumentsOf(program.at(value)));
    };
    const parts: (Chain | OtherStage)[] = [];
    let rest = all;
    let tables = 0;
    while (rest.length > 0) {
      const first = item(rest, 0);
      const begins = links.get(first);
      if (!begins || begins.held === 0) {
        parts.push(first);
        rest = rest.slice(1);
        continue;
      }
      const chosen: Stage[] = [];
      const waiting = new Set<Value>();
      let [finish, rows, isOver] = [begins.finish, begins.rows, false];
      const given = new Set<string>();
      let result: string | undefined;
      // a chain has one text: one finish, one kind of functions, and for each binding one buffer
      const fits = (link: Link) => {
        const others = new Set(given);
        if (link.given !== undefined) others.add(link.given);
        return (
          chosen.length < chainRoom.links &&
          (link.held === 0 || (link.weights === begins.weights && link.bias === begins.bias)) &&
          agree(link.finish, finish) &&
          agree(link.rows, rows) &&
          agree(link.result, result) &&
          others.size <= 2 &&
          (link.held === 0 ? begins.held > most.given : link.held === begins.held)
        );
      };
      for (const stage of rest) {
        const link = links.get(stage);
        const waits = reads(stage).some((value) => [...stored(program, value)].some((base) => waiting.has(base)));
        if (!isOver && link && !waits && fits(link)) {
          chosen.push(stage);
          finish ??= link.finish;
          rows ??= link.rows;
          result ??= link.result;
          if (link.given !== undefined) given.add(link.given);
          continue;
        }
        // what copies into a row says nothing of what it makes
        if (stage.kind === "copy") isOver = true;
        for (const value of makes(stage)) waiting.add(value);
      }
      const own = chosen.map((stage) => must(links.get(stage), "a link"));
      const from = [...given];
      const { subgroup } = device;
      // one text for chains with products, whether they have functions of rows or not
      const { held, bias } = begins;
      const isOnlyProducts = !bias && held > most.given && (finish ?? "products") === "products";
      const functions = rows ?? (isOnlyProducts ? sumOverTangents : undefined);
      const shape: ChainShape = { bias, finish: finish ?? "products", inputs: held, rows: functions, subgroup };
      parts.push({
        kernel: chainKernel(shape),
        links: own.map((link) => ({
          ...link,
          fields: {
            ...link.fields,
            body: link.held > 0 ? 0 : 1,
            source: link.given === undefined ? 0 : 1 + from.indexOf(link.given),
          },
        })),
        table: tables++,
        weights: must(begins.weights, "the packing of a layer"),
        given: from,
        result,
      });
      rest = rest.filter((stage) => !chosen.includes(stage));
    }
    return new Chains(parts, names.table, names.values, device);
  }

  /** The tables that the kernels read. */
  get buffers(): PlannedBuffer[] {
    const chains = this.#parts.filter((part): part is Chain => "links" in part);
    if (chains.length === 0) return [];
    const data = new Uint32Array((tableBytes / 4) * chains.length);
    for (const { links, table } of chains)
      for (const [n, { fields }] of links.entries())
        for (const [name, value] of Object.entries(fields))
          data[(tableBytes / 4) * table + chainLink.words * n + must(chainLink.at[name], `"${name}" of a link`)] =
            value;
    return [{ name: this.#table, bytes: data.byteLength, data }];
  }

  /** The dispatches of all stages in their order; `other` plans those that are in no chain. */
  plan(range: RunRange, other: (stage: OtherStage) => Dispatch[]): Dispatch[] {
    return this.#parts.flatMap((part) => ("links" in part ? this.#chain(part, range) : other(part)));
  }

  #chain({ kernel, links, table, weights, given, result }: Chain, range: RunRange): Dispatch[] {
    const { capacity, tangents } = range;
    const stride = capacity / 4;
    const step = heldWorkgroup(this.#device);
    const perVector = links.reduce((sum, { flops, batched }) => sum + flops * (batched ? tangents : 1), 0);
    return Array.from(vectorRanges(range, step, perVector), ([first, now]) =>
      dispatchOf(kernel, {
        params: { first, stride, links: links.length, tangents },
        buffers: {
          links: this.#table,
          weights,
          biases: kernel.buffers.biases ? weights : undefined,
          values: this.#values,
          given0: kernel.buffers.given0 ? (given[0] ?? item(unusedBuffers, 1).name) : undefined,
          given1: kernel.buffers.given1 ? (given[1] ?? given[0] ?? item(unusedBuffers, 1).name) : undefined,
          result: result ?? item(unusedBuffers, 0).name,
        },
        offsets: { links: tableBytes * table },
        workgroups: [now / step],
        flops: now * perVector,
      }),
    );
  }
}
