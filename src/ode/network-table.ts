import { planTableInputs } from "../../shaders/table-inputs.ts";
import { type Dispatch, mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import { tableName } from "../kernels/rows.ts";
import type { Network } from "../network/network.ts";
import type { SplitNetwork } from "../network/split.ts";
import { Run } from "../velocity/run.ts";
import { names } from "./engine.ts";

/** Columns of a table that are computed at a time. */
const mostColumns = 2048;

/**
 * What a network makes of the time and the class alone, for all stages of some steps at once: a column for each stage and class, the
 * null class last, in the buffer "table" [rows][columns].
 */
export class NetworkTable {
  readonly rows: number;
  /** Columns of one stage. */
  readonly perStage: number;
  readonly #classes: number;
  readonly #run: Run;

  constructor(network: Network, { program, entries, rows }: SplitNetwork["table"]) {
    const { classes } = network;
    const input = (row: number) => ({ buffer: "columns", row, rows: 1 + classes });
    this.rows = rows;
    this.perStage = classes + 1;
    this.#classes = classes;
    this.#run = new Run(network, program, {
      inputs: new Map([
        ["t", input(0)],
        ["label", input(1)],
      ]),
      outputs: entries.map(({ value, row }) => ({ value, place: { buffer: tableName, row, rows } })),
      prefix: "table ",
    });
  }

  #most(stages: number): number {
    return Math.max(mostColumns, Math.ceil((stages * this.perStage) / 64) * 64);
  }

  /** Steps whose columns fit the buffers. */
  stepsAtOnce(stages: number): number {
    return Math.max(1, Math.floor(this.#most(stages) / (stages * this.perStage)));
  }

  buffers(stages: number): PlannedBuffer[] {
    const columns = this.#most(stages);
    return mergeBuffers([
      { name: "columns", bytes: 4 * (1 + this.#classes) * columns },
      { name: tableName, bytes: 4 * this.rows * columns },
      ...this.#run.buffers(columns, 0),
    ]);
  }

  /** The table of steps `firstStep` … `lastStep` − 1 of the schedule. */
  plan(
    maxFlops: number,
    stages: number,
    firstStep: number,
    lastStep: number,
  ): { columns: number; dispatches: Dispatch[] } {
    const used = (lastStep - firstStep) * stages * this.perStage;
    const columns = Math.ceil(used / 64) * 64;
    const inputs = planTableInputs({
      stages,
      classes: this.#classes,
      columns,
      used,
      firstRow: firstStep * stages,
      names: { schedule: names.schedule, inputs: "columns" },
    });
    return { columns, dispatches: [inputs, ...this.#run.early({ capacity: columns, maxFlops, tangents: 0 })] };
  }
}
