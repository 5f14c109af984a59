import { item, must } from "../must.ts";
import type { Gradient } from "./derivatives.ts";
import type { Program, Value } from "./program.ts";

/** Where a value lies: from row `row` of a buffer that has `rows` rows (for each tangent, where there are any). */
export interface Place {
  readonly buffer: string;
  readonly row: number;
  readonly rows: number;
}

/** A buffer of so many rows, as a place. */
export const wholeBuffer = (buffer: string, rows: number): Place => ({ buffer, row: 0, rows });

/** Rows that one kernel computes from numbers in the same row: its members in order, and those of them that are stored. */
export interface Cluster {
  readonly members: readonly Value[];
  readonly stores: readonly Value[];
}

export type GradientStage = Extract<Stage, { kind: "gradient" }>;

/** What one kernel does. */
export type Stage =
  /** A product with a weight matrix, or with one of the network's data, and what is made of each of its rows. */
  | { readonly kind: "linear"; readonly value: Value; readonly cluster: Cluster }
  | { readonly kind: "project"; readonly value: Value; readonly cluster: Cluster }
  | { readonly kind: "rows"; readonly width: number; readonly cluster: Cluster }
  /** Sums over all rows of values that are made from row to row by `inner`, and what is made of the sums. */
  | {
      readonly kind: "sums";
      readonly sums: readonly Value[];
      readonly inner: readonly Value[];
      readonly cluster: Cluster;
    }
  /** A part of a concatenation that was made elsewhere; zeros where there is no value. */
  | {
      readonly kind: "copy";
      readonly from: Value | undefined;
      readonly width: number;
      readonly to: Place;
      readonly batched: boolean;
    }
  | { readonly kind: "gradient"; readonly gradient: Gradient };

/** Where a concatenation is whole: what its parts were not made in is copied. */
export interface Arrange {
  readonly kind: "arrange";
  readonly value: Value;
}

/** The kernels of a program in their order, and where its values lie. */
export interface Schedule {
  readonly program: Program;
  readonly stages: readonly Stage[];
  readonly places: ReadonlyMap<Value, Place>;
  /** Buffers beside those that were named, with their rows and whether these are for each tangent. */
  readonly slots: readonly { readonly name: string; readonly rows: number; readonly batched: boolean }[];
  /** The first stage that waits for one of the late inputs. */
  readonly late: number;
}

/** Where a value that is stored lies. */
export function placeOf({ places }: Schedule, value: Value): Place {
  return must(places.get(value), `the place of value ${value}`);
}

/** Where an output shall lie; the buffer may have `width` rows or more from there, of which those behind the output do not matter. */
export interface Output {
  readonly value: Value;
  readonly place: Place;
  readonly width?: number;
}

export interface ScheduleOptions {
  /** Where the inputs lie, and where the outputs shall. */
  readonly inputs: ReadonlyMap<string, Place>;
  readonly outputs: readonly Output[];
  readonly gradients?: readonly Gradient[];
  /** Inputs that are written between the stages: those that do not need them come first, and what they made stays for all rounds. */
  readonly lateInputs?: readonly string[];
  /** Storage buffers of one kernel at most. */
  readonly bindings: number;
  /** Buffers that a kernel reads beside another one, by the name of that one. */
  readonly beside?: ReadonlyMap<string, string>;
  /** Begins the names of the buffers. */
  readonly prefix: string;
  /** Whether a product, or functions of rows, may write where they read: their kernels wait for all reads before they write. */
  readonly inPlace?: boolean;
  /** Whether what gradients of parameters read stays to the end, for gradients of several rounds together. */
  readonly keeps?: boolean;
  /** Whether all values lie in one buffer, which has the name of the prefix, each in rows that no other one gets. */
  readonly together?: boolean;
  /** Whether a product and that of its tangents are one, which hands values from the first one's rows to the second one's: {@link joins}. */
  readonly joins?: boolean;
}

/** Whether two stages are a product and that of its tangents, with the same weights, so that each weight can be read once for both. */
export function joins(p: Program, stage: Stage | Arrange | undefined, next: Stage | Arrange | undefined): boolean {
  if (stage?.kind !== "linear" || next?.kind !== "linear" || !areTwins(p, stage.value, next.value)) return false;
  // what the second product reads is there already
  const { of } = p.stepOf(next.value, "linear");
  return of !== stage.value && !stage.cluster.members.includes(of);
}

/** Stages in their order, those together that join. */
export function grouped({ program, stages }: Schedule): Stage[][] {
  const groups: Stage[][] = [];
  for (let i = 0; i < stages.length; i++) {
    const [stage, next] = [item(stages, i), stages[i + 1]];
    const isJoined = next !== undefined && joins(program, stage, next);
    groups.push(isJoined ? [stage, next] : [stage]);
    if (isJoined) i++;
  }
  return groups;
}

export function areTwins(p: Program, value: Value, tangents: Value): boolean {
  const [a, b] = [p.at(value), p.at(tangents)];
  if (a.kind !== "linear" || b.kind !== "linear" || a.batched || !b.batched) return false;
  return a.tensor === b.tensor && a.transposed === b.transposed && a.from === b.from && a.to === b.to;
}

/** The value whose buffer a value is a view into. */
export function baseOf(p: Program, value: Value): Value {
  const step = p.at(value);
  return step.kind === "slice" ? baseOf(p, step.of) : value;
}
