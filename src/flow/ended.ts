import { must } from "../must.ts";
import { solveStatus, type Trajectory } from "./results.ts";

/** log p of a solve, [n]: NaN where it did not end, so that no figure is made of a state on the way. */
export function endedLogProb({ logProb, status }: Trajectory): Float32Array {
  const all = must(logProb, "log p of a solve");
  return status ? all.map((value, p) => (status[p] === solveStatus.done ? value : Number.NaN)) : all;
}
