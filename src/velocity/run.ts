import { mostBuffers } from "../../shaders/stages.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { type ChainDevice, Chains } from "../kernels/chain.ts";
import { classesName, type RunRange, StagePlanner, tableName } from "../kernels/rows.ts";
import type { Gradient } from "../network/derivatives.ts";
import type { Network } from "../network/network.ts";
import type { Program } from "../network/program.ts";
import { schedule } from "../network/schedule.ts";
import { type Place, placeOf, type Schedule, type ScheduleOptions, type Stage } from "../network/stages.ts";
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
  /** The kernels of many stages each, where all layers fit into such: of those before the late inputs are there, and of the others. */
  readonly #chains: { readonly early: Chains; readonly late: Chains } | undefined;

  /** With `chain` layers go together where they can, on the device of that, and a table of that name tells them what to do. */
  constructor(
    network: Network,
    program: Program,
    options: Omit<ScheduleOptions, "bindings" | "together">,
    chain?: ChainDevice & { readonly table: string },
  ) {
    const beside = network.classes > 0 ? { beside: new Map([[tableName, classesName]]) } : {};
    const made = (together: boolean) => {
      const own = schedule(program, { ...options, ...beside, bindings: mostBuffers, together });
      return { schedule: own, planner: new StagePlanner(own, weightPlaces(network), network.classes > 0) };
    };
    let { schedule: own, planner } = made(chain !== undefined);
    if (chain) {
      const of = (stages: readonly Stage[], phase: string) =>
        Chains.of(own, stages, planner, chain, { table: `${chain.table} ${phase}`, values: options.prefix });
      const early = of(own.stages.slice(0, own.late), "early");
      const after = early && of(own.stages.slice(own.late), "late");
      if (after) this.#chains = { early, late: after };
      else ({ schedule: own, planner } = made(false));
    }
    this.#schedule = own;
    this.#planner = planner;
  }

  /** Rows beside the inputs and outputs, with so many tangents. */
  floats(tangents: number): number {
    return this.#schedule.slots.reduce((sum, { rows, batched }) => sum + rows * (batched ? tangents : 1), 0);
  }

  buffers(capacity: number, tangents: number): PlannedBuffer[] {
    const { slots } = this.#schedule;
    // parts of one buffer have its name
    return [...new Set(slots.map(({ name }) => name))].map((name) => ({
      name,
      bytes: slots
        .filter((slot) => slot.name === name)
        .reduce((sum, { rows, batched }) => sum + rows * (batched ? tangents : 1) * capacity * 4, 0),
    }));
  }

  /** The tables that chains of layers read. */
  get tables(): PlannedBuffer[] {
    return this.#chains ? [...this.#chains.early.buffers, ...this.#chains.late.buffers] : [];
  }

  #dispatches(phase: "early" | "late", range: RunRange, names: Renamed, gradients?: GradientPlan): Dispatch[] {
    const { stages, late } = this.#schedule;
    if (this.#chains) {
      const planned = this.#chains[phase].plan(range, (stage) => this.#planner.plan(stage, range));
      return [...renamed(planned, names), ...(gradients ? this.gradients(range, names, gradients) : [])];
    }
    return stages.slice(...(phase === "early" ? [0, late] : [late])).flatMap((stage) => {
      const planned =
        stage.kind === "gradient"
          ? (gradients?.(stage.gradient, (value) => placeOf(this.#schedule, value), range) ?? [])
          : this.#planner.plan(stage, range);
      return renamed(planned, names);
    });
  }

  /** What does not need the late inputs. */
  early(range: RunRange, names: Renamed = {}): Dispatch[] {
    return this.#dispatches("early", range, names);
  }

  /** What needs the late inputs, which are there by now. */
  late(range: RunRange, names: Renamed = {}, gradients?: GradientPlan): Dispatch[] {
    return this.#dispatches("late", range, names, gradients);
  }

  /** The gradients alone, of what is kept for them. */
  gradients(range: RunRange, names: Renamed, plan: GradientPlan): Dispatch[] {
    const of = (value: number) => placeOf(this.#schedule, value);
    return this.#schedule.stages.flatMap((stage) =>
      stage.kind === "gradient" ? renamed(plan(stage.gradient, of, range), names) : [],
    );
  }
}
