import { dispatchOf, gridOf } from "../../shaders/dispatch.ts";
import { numbered } from "../../shaders/interface.ts";
import {
  accessNumbers,
  type ClusterShape,
  innerPrefix,
  projectKernel,
  type Ref,
  type RowsAccess,
  readsTable,
  rowsKernel,
  rowsWorkgroup,
  type SumsShape,
  sumsKernel,
  tableNumbers,
} from "../../shaders/rows.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { item, must } from "../must.ts";
import { argumentsOf, type Program, type StepOf, type Value } from "../network/program.ts";
import { type Cluster, placeOf, type Schedule, type Stage } from "../network/stages.ts";
import { type DenseCall, type ParticleRange, planDense } from "./dense.ts";
import { type WeightPlaces, weightNames } from "./weights.ts";

/** A batch of particles on which a schedule runs. */
export type RunRange = ParticleRange & {
  /** A planner of one's own for products; what it gives no plan for goes to {@link planDense}. */
  readonly linear?: LinearPlan | undefined;
  readonly tangents: number;
  /** Columns of the network's table, and the first one of this time. */
  readonly table?: { readonly columns: number; readonly column: number } | undefined;
};

/** Plans a product of a program, if it can. */
export type LinearPlan = (call: DenseCall, step: StepOf<"linear">, range: RunRange) => Dispatch[] | undefined;

/** The buffer with what is the same for all particles of a class at one time; see src/ode/network-table.ts. */
export const tableName = "table";

/** The buffer with the column of each particle's class, where there are classes. */
export const classesName = "classes";

type StageOf<Kind extends Stage["kind"]> = Extract<Stage, { readonly kind: Kind }>;

/** An access, and what its kernel is told of it: the first row, and the rows of a tangent. */
type Placed<Access> = Access & { readonly at: readonly [row: number, rows: number] };

interface PlacedCluster {
  readonly leaves: readonly Placed<RowsAccess>[];
  readonly results: ClusterShape["results"];
  readonly stores: readonly Placed<ClusterShape["stores"][number]>[];
}

/** A cluster as a kernel sees it: its shape and its params. */
interface BoundCluster {
  readonly shape: ClusterShape;
  readonly numbers: Readonly<Record<string, number>>;
}

function bound({ leaves, results, stores }: PlacedCluster, prefix?: string): BoundCluster {
  const plain = <Access>({ at: _, ...access }: Placed<Access>) => access;
  const places = (list: readonly Placed<RowsAccess>[]) => list.map(({ at }) => at);
  return {
    // the bindings are those of the whole kernel, which knows them when all of its clusters are bound
    shape: { bindings: [], parameters: [], leaves: leaves.map(plain), results, stores: stores.map(plain) },
    numbers: accessNumbers(places(leaves), places(stores), prefix),
  };
}

/** Gathers the buffers of one kernel. */
class Binder {
  readonly buffers: string[] = [];
  readonly written: boolean[] = [];
  readonly parameters: number[] = [];
  classes: number | undefined;

  /** What a cluster's shape says of the buffers. */
  get all() {
    return {
      bindings: this.written,
      parameters: this.parameters,
      ...(this.classes !== undefined && { classes: this.classes }),
    };
  }

  at(buffer: string, write: boolean, isParameter = false): number {
    let i = this.buffers.indexOf(buffer);
    if (i < 0) {
      i = this.buffers.push(buffer) - 1;
      this.written.push(false);
      if (isParameter) this.parameters.push(i);
    }
    if (write) this.written[i] = true;
    return i;
  }
}

/** Turns stages of a schedule into dispatches. */
export class StagePlanner {
  readonly #p: Program;
  readonly #schedule: Schedule;
  readonly #weights: WeightPlaces;
  /** Whether a table has a column for each class. */
  readonly #hasClasses: boolean;
  readonly #bound = new Map<Stage, unknown>();

  constructor(made: Schedule, weights: WeightPlaces, hasClasses: boolean) {
    this.#hasClasses = hasClasses;
    this.#p = made.program;
    this.#schedule = made;
    this.#weights = weights;
  }

  #cluster(cluster: Cluster, sums: readonly Value[], binder: Binder): PlacedCluster {
    const leaves: Placed<RowsAccess>[] = [];
    const leafOf = new Map<Value, number>();
    const resultOf = new Map<Value, number>(cluster.members.map((member, i) => [member, i]));
    const ref = (value: Value): Ref => {
      const sum = sums.indexOf(value);
      if (sum >= 0) return { sum };
      const result = resultOf.get(value);
      if (result !== undefined) return { result };
      let leaf = leafOf.get(value);
      if (leaf === undefined) {
        leaf = leaves.push(this.#leaf(value, binder)) - 1;
        leafOf.set(value, leaf);
      }
      return { leaf };
    };
    const results = cluster.members.map((member) => {
      const step = this.#p.at(member);
      if (step.kind !== "map" && step.kind !== "total") throw new Error(`a ${step.kind} is no function of rows`);
      const f = step.kind === "map" ? step.function : ({ name: "total" } as const);
      return { function: f, of: argumentsOf(step).map(ref), batched: step.batched };
    });
    const stores = cluster.stores.map((value) => {
      const place = placeOf(this.#schedule, value);
      const { batched, width } = this.#p.at(value);
      const access = { binding: binder.at(place.buffer, true), batched, single: width === 1, parameter: false };
      return { ...access, of: ref(value), at: [place.row, place.rows] as const };
    });
    return { leaves, results, stores };
  }

  #leaf(value: Value, binder: Binder): Placed<RowsAccess> {
    const step = this.#p.at(value);
    if (step.kind === "parameter") {
      const binding = binder.at(weightNames.flat, false, true);
      const at = [this.#weights.offset(step.tensor), 0] as const;
      return { binding, batched: false, single: step.width === 1, parameter: true, at };
    }
    const place = placeOf(this.#schedule, value);
    const { batched, width } = step;
    const at = [place.row, place.rows] as const;
    if (place.buffer === tableName) {
      const binding = binder.at(tableName, false, true);
      if (this.#hasClasses) binder.classes = binder.at(classesName, false);
      const table = this.#hasClasses ? ("classes" as const) : ("one" as const);
      return { binding, batched: false, single: width === 1, parameter: false, table, at };
    }
    return { binding: binder.at(place.buffer, false), batched, single: width === 1, parameter: false, at };
  }

  /** What of a stage does not depend on the batch: plans ask for the same few stages step after step. */
  #once<T>(stage: Stage, make: (binder: Binder) => T): T {
    let made = this.#bound.get(stage) as T | undefined;
    if (made === undefined) {
      made = make(new Binder());
      this.#bound.set(stage, made);
    }
    return made;
  }

  /** The cluster of a kernel that has no other. */
  #only(cluster: Cluster, sums: readonly Value[], binder: Binder): BoundCluster & { buffers: readonly string[] } {
    return this.#alone(this.#cluster(cluster, sums, binder), binder);
  }

  #alone(cluster: PlacedCluster, binder: Binder): BoundCluster & { buffers: readonly string[] } {
    const { shape, numbers } = bound(cluster);
    return { shape: { ...shape, ...binder.all }, numbers, buffers: binder.buffers };
  }

  plan(stage: Exclude<Stage, { kind: "gradient" }>, range: RunRange): Dispatch[] {
    switch (stage.kind) {
      case "linear":
        return this.#linear(stage, range);
      case "project":
        return [this.#project(stage, range)];
      case "rows":
      case "copy":
        return [this.#rows(stage, range)];
      case "sums":
        return [this.#sums(stage, range)];
    }
  }

  /** A layer without what a batch says of it. */
  ofLayer<T>(stage: StageOf<"linear">, f: (call: Omit<DenseCall, "batch">, step: StepOf<"linear">) => T): T {
    const { step, ...call } = this.#layer(stage);
    return f(call, step);
  }

  #layer(stage: StageOf<"linear">) {
    return this.#once(stage, (binder) => {
      const step = this.#p.stepOf(stage.value, "linear");
      const { transposed, from, to, tensor, bias } = step;
      const { weights, rowVectors } = this.#weights.matrix(tensor, transposed);
      const { shape, numbers, buffers } = this.#only(stage.cluster, [stage.value], binder);
      const given = placeOf(this.#schedule, step.of);
      return {
        step,
        weights: transposed ? weights : weights + from * rowVectors,
        rowVectors,
        bias: bias === undefined ? undefined : this.#weights.bias(bias),
        inputs: transposed ? this.#p.width(step.of) : to - from,
        outputs: step.width,
        firstRow: transposed ? from : 0,
        given,
        cluster: { shape, numbers },
        names: {
          weights: transposed ? weightNames.backward : weightNames.forward,
          in: given.buffer,
          cluster: buffers,
        },
        work: workOf(shape),
      };
    });
  }

  #linear(stage: StageOf<"linear">, range: RunRange): Dispatch[] {
    const { step, ...bound } = this.#layer(stage);
    const { shape, numbers } = bound.cluster;
    const cluster = { shape, numbers: { ...numbers, ...tableOf(shape, range) } };
    const call = { ...bound, cluster, batch: step.batched ? range.tangents : 1 };
    return range.linear?.(call, step, range) ?? planDense(call, range);
  }

  #project(stage: StageOf<"linear" | "project">, range: RunRange): Dispatch {
    const { kernel, shape, numbers, buffers, step, given } = this.#once(stage, (binder) => {
      const step = this.#p.stepOf(stage.value, "project");
      const bound = this.#only(stage.cluster, [stage.value], binder);
      const given = placeOf(this.#schedule, step.of);
      const kernel = projectKernel({ matrix: step.matrix, turns: step.turns, cluster: bound.shape });
      return { ...bound, kernel, step, given };
    });
    const stride = range.capacity / 4;
    const batch = step.batched ? range.tangents : 1;
    return dispatchOf(kernel, {
      params: {
        stride,
        rows: step.width,
        tangents: range.tangents,
        given: given.row,
        given_rows: given.rows,
        ...numbers,
        ...tableOf(shape, range),
      },
      buffers: { given: given.buffer, ...numbered("b", buffers) },
      workgroups: [...inRow(stride), batch],
      flops: 4 * stride * batch * step.width * (2 * this.#p.width(step.of) + workOf(shape)),
    });
  }

  /** Functions of rows, or rows as they are: their shape, numbers and buffers. */
  ofRows(stage: StageOf<"rows" | "copy">) {
    return this.#once(stage, (binder) => {
      const bound = stage.kind === "rows" ? this.#only(stage.cluster, [], binder) : this.#copied(stage, binder);
      const batched = [...bound.shape.leaves, ...bound.shape.stores].some((access) => access.batched);
      return { ...bound, kernel: rowsKernel(bound.shape), batched };
    });
  }

  #rows(stage: StageOf<"rows" | "copy">, range: RunRange): Dispatch {
    const { kernel, shape, numbers, buffers, batched } = this.ofRows(stage);
    const { capacity, tangents } = range;
    const { width } = stage;
    const stride = capacity / 4;
    return dispatchOf(kernel, {
      params: { stride, rows: width, tangents, ...numbers, ...tableOf(shape, range) },
      buffers: numbered("b", buffers),
      workgroups: gridOf(Math.ceil((width * stride) / rowsWorkgroup)),
      flops: width * capacity * (1 + workOf(shape)) * (batched ? tangents : 1),
    });
  }

  #copied(stage: StageOf<"copy">, binder: Binder): BoundCluster & { buffers: readonly string[] } {
    const leaf = stage.from === undefined ? undefined : this.#leaf(stage.from, binder);
    const binding = binder.at(stage.to.buffer, true);
    const access = { binding, batched: stage.batched, single: false, parameter: false };
    const store = { ...access, of: leaf && { leaf: 0 }, at: [stage.to.row, stage.to.rows] as const };
    // a leaf of one row is that row
    const leaves = leaf ? [{ ...leaf, single: false }] : [];
    return this.#alone({ leaves, results: [], stores: [store] }, binder);
  }

  #sums(stage: StageOf<"sums">, range: RunRange): Dispatch {
    const { kernel, inner, after, buffers, width, batched } = this.#once(stage, (binder) => {
      const operands = stage.sums.map((sum) => this.#p.stepOf(sum, "sum").of);
      const { width, batched } = this.#p.at(item(operands, 0));
      // a sum of something that is there already is read by a function that changes nothing
      const inner = this.#inner(stage.inner, operands, binder);
      const after = bound(this.#cluster(stage.cluster, stage.sums, binder));
      const { all } = binder;
      const shape: SumsShape = {
        inner: { ...inner.shape, ...all },
        sums: inner.sums,
        after: { ...after.shape, ...all },
      };
      return { kernel: sumsKernel(shape), inner, after, buffers: binder.buffers, width, batched };
    });
    const stride = range.capacity / 4;
    const batch = batched ? range.tangents : 1;
    return dispatchOf(kernel, {
      params: {
        stride,
        rows: width,
        tangents: range.tangents,
        ...inner.numbers,
        ...after.numbers,
        ...tableOf(inner.shape, range, innerPrefix),
        ...tableOf(after.shape, range),
      },
      buffers: numbered("b", buffers),
      workgroups: [...inRow(stride), batch],
      flops: 4 * stride * batch * width * (1 + workOf(inner.shape)),
    });
  }

  #inner(members: readonly Value[], operands: readonly Value[], binder: Binder) {
    const results = new Map<Value, number>(members.map((member, i) => [member, i]));
    const { leaves, ...rest } = this.#cluster({ members, stores: [] }, [], binder);
    const all = [...leaves];
    const sums = operands.map((operand): Ref => {
      const result = results.get(operand);
      if (result !== undefined) return { result };
      return { leaf: all.push(this.#leaf(operand, binder)) - 1 };
    });
    return { ...bound({ ...rest, leaves: all }, innerPrefix), sums };
  }
}

/** Workgroups of a kernel with one invocation per four particles, as two dimensions. */
const inRow = (stride: number) => gridOf(Math.ceil(stride / rowsWorkgroup));

/** What a cluster that reads a table is told of it. */
function tableOf(shape: ClusterShape, { table }: RunRange, prefix?: string): Record<string, number> {
  if (!readsTable(shape)) return {};
  const { columns, column } = must(table, "the table that a kernel reads");
  return tableNumbers([columns, column], prefix);
}

/** FLOPs of a cluster for one number, about. */
function workOf({ results }: ClusterShape): number {
  return results.reduce(
    (sum, { function: { name } }) => sum + (name === "activate" || name.endsWith("turns") ? 20 : 1),
    0,
  );
}
