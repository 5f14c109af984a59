import { mostBuffers } from "../../shaders/stages.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { classesName, type RunRange, StagePlanner, tableName } from "../kernels/rows.ts";
import type { Gradient } from "../network/derivatives.ts";
import type { Network } from "../network/network.ts";
import type { Program } from "../network/program.ts";
import { schedule } from "../network/schedule.ts";
import { type Place, placeOf, type Schedule, type ScheduleOptions } from "../network/stages.ts";
import { weightPlaces } from "./dense-layout.ts";

/** Rows of the buffer that a network's inputs lie in: x, t, the one-hot label, the context. */
export function inputRows({ dim, classes, context }: Network): number {
  return dim + 1 + classes + context;
}

/** Where the inputs lie in that buffer. */
export function inputPlaces(network: Network, buffer: string): Map<string, Place> {
  const { dim, classes } = network;
  const rows = inputRows(network);
  const at = { x: 0, t: dim, label: dim + 1, context: dim + 1 + classes };
  return new Map(Object.entries(at).map(([name, row]) => [name, { buffer, row, rows }]));
}

/** Other names for the buffers of a program. */
export type Renamed = Readonly<Record<string, string>>;

/** Plans the dispatches of one gradient from where its values lie. */
export type GradientPlan = (gradient: Gradient, places: (value: number) => Place, range: RunRange) => Dispatch[];

const renamed = (dispatches: readonly Dispatch[], names: Renamed): Dispatch[] =>
  dispatches.map((dispatch) => {
    const buffers = Object.entries(dispatch.buffers).map(([own, name]) => [own, names[name] ?? name]);
    return { ...dispatch, buffers: Object.fromEntries(buffers) };
  });

/** A program of a network layer by layer: a kernel per product, with what is made of its rows, and few others; values in buffers. */
export class Run {
  readonly #schedule: Schedule;
  readonly #planner: StagePlanner;

  constructor(network: Network, program: Program, options: Omit<ScheduleOptions, "bindings">) {
    const beside = network.classes > 0 ? { beside: new Map([[tableName, classesName]]) } : {};
    this.#schedule = schedule(program, { ...options, ...beside, bindings: mostBuffers });
    this.#planner = new StagePlanner(this.#schedule, weightPlaces(network), network.classes > 0);
  }

  /** Rows beside the inputs and outputs, with so many tangents. */
  floats(tangents: number): number {
    return this.#schedule.slots.reduce((sum, { rows, batched }) => sum + rows * (batched ? tangents : 1), 0);
  }

  buffers(capacity: number, tangents: number): PlannedBuffer[] {
    return this.#schedule.slots.map(({ name, rows, batched }) => ({
      name,
      bytes: rows * (batched ? tangents : 1) * capacity * 4,
    }));
  }

  #dispatches(from: number, to: number, range: RunRange, names: Renamed, gradients?: GradientPlan): Dispatch[] {
    return this.#schedule.stages.slice(from, to).flatMap((stage) => {
      const planned =
        stage.kind === "gradient"
          ? (gradients?.(stage.gradient, (value) => placeOf(this.#schedule, value), range) ?? [])
          : this.#planner.plan(stage, range);
      return renamed(planned, names);
    });
  }

  /** What does not need the late inputs. */
  early(range: RunRange, names: Renamed = {}): Dispatch[] {
    return this.#dispatches(0, this.#schedule.late, range, names);
  }

  /** What needs the late inputs, which are there by now. */
  late(range: RunRange, names: Renamed = {}, gradients?: GradientPlan): Dispatch[] {
    return this.#dispatches(this.#schedule.late, this.#schedule.stages.length, range, names, gradients);
  }

  /** The gradients alone, of what is kept for them. */
  gradients(range: RunRange, names: Renamed, plan: GradientPlan): Dispatch[] {
    const of = (value: number) => placeOf(this.#schedule, value);
    return this.#schedule.stages.flatMap((stage) =>
      stage.kind === "gradient" ? renamed(plan(stage.gradient, of, range), names) : [],
    );
  }
}
