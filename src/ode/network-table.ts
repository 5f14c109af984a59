import { smallTile } from "../../shaders/dense.ts";
import { planTableInputs, planTransposeTable } from "../../shaders/table-inputs.ts";
import { type Dispatch, mergeBuffers, type PlannedBuffer } from "../gpu/kernel.ts";
import { tableName } from "../kernels/rows.ts";
import type { Network } from "../network/network.ts";
import type { SplitNetwork } from "../network/split.ts";
import { Run } from "../velocity/run.ts";
import { names, padded } from "./engine.ts";

/** Columns of a table that are computed at a time. */
const mostColumns = 2048;

/** The table as its kernels write and read it: under this name its rows are as any others, and not those of a particle's class. */
const rowsName = "table rows";

/**
 * What a network makes of the time and the class alone, for all stages of some steps at once: a column for each stage and class, the
 * null class last, in the buffer "table": [rows][columns] for kernels of layers, [columns][rows] for those that read one column at a time.
 */
export class NetworkTable {
  readonly rows: number;
  /** Columns of one stage. */
  readonly perStage: number;
  readonly #classes: number;
  readonly #isByColumns: boolean;
  readonly #run: Run;

  constructor(network: Network, { program, entries, rows }: SplitNetwork["table"], isByColumns: boolean) {
    const { classes } = network;
    const input = (row: number) => ({ buffer: "columns", row, rows: 1 + classes });
    this.rows = rows;
    this.perStage = classes + 1;
    this.#classes = classes;
    this.#isByColumns = isByColumns;
    this.#run = new Run(network, program, {
      inputs: new Map([
        ["t", input(0)],
        ["label", input(1)],
      ]),
      outputs: entries.map(({ value, row }) => ({ value, place: { buffer: rowsName, row, rows } })),
      prefix: "table ",
    });
  }

  #most(stages: number): number {
    return Math.max(mostColumns, padded(stages * this.perStage));
  }

  /** Steps whose columns fit the buffers. */
  stepsAtOnce(stages: number): number {
    return Math.max(1, Math.floor(this.#most(stages) / (stages * this.perStage)));
  }

  buffers(stages: number): PlannedBuffer[] {
    return this.#buffers(this.#most(stages));
  }

  /** What {@link planOneTime} needs. */
  buffersOfOneTime(): PlannedBuffer[] {
    return this.#buffers(padded(this.perStage));
  }

  #buffers(columns: number): PlannedBuffer[] {
    return mergeBuffers([
      { name: "columns", bytes: 4 * (1 + this.#classes) * columns },
      ...[tableName, ...(this.#isByColumns ? [rowsName] : [])].map((name) => ({
        name,
        bytes: 4 * this.rows * columns,
      })),
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
    return {
      columns: padded(used),
      dispatches: this.#plan(maxFlops, stages, used, firstStep * stages, names.schedule),
    };
  }

  /** The table of the first of the times of an evaluation. */
  planOneTime(maxFlops: number): Dispatch[] {
    return this.#plan(maxFlops, 1, this.perStage, 0, names.times);
  }

  #plan(maxFlops: number, stages: number, used: number, firstRow: number, times: string): Dispatch[] {
    const columns = padded(used);
    const inputs = planTableInputs({
      stages,
      classes: this.#classes,
      columns,
      used,
      firstRow,
      names: { schedule: times, inputs: "columns" },
    });
    const transposed = this.#isByColumns
      ? [planTransposeTable({ rows: this.rows, columns, from: rowsName, target: tableName })]
      : [];
    const own = this.#isByColumns ? {} : { [rowsName]: tableName };
    return [
      inputs,
      ...this.#run.early({ capacity: columns, maxFlops, tangents: 0, tile: smallTile }, own),
      ...transposed,
    ];
  }
}
