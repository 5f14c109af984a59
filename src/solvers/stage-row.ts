import type { Numeric } from "../../shaders/interface.ts";
import { stageFloats } from "../../shaders/stage-row.ts";
import { item } from "../must.ts";

/** What a schedule says of one stage of one step. */
interface StageRow {
  readonly time: Numeric;
  /** h b_i. */
  readonly weight: Numeric;
  /** h a_ij for the stages before. */
  readonly a: readonly Numeric[];
}

/** Where the table is `live` the numbers are its entries, which follow its changes. */
export function stageRow(table: Float32Array, stages: number, step: number, stage: number, live = false): StageRow {
  const first = (step * stages + stage) * stageFloats(stages);
  const entry = (at: number): Numeric => (live ? { table, at, by: 1 } : item(table, at));
  return {
    time: entry(first),
    weight: entry(first + 1),
    a: Array.from({ length: stage }, (_, j) => entry(first + 2 + j)),
  };
}
