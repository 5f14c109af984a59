import { timeEntry } from "../../shaders/flow-matching.ts";
import { pathTimes } from "../../src/path/paths.ts";

/** The level of (0, 1] that a sample's uniform number stands for: in its own part of the batch where times are stratified, as on the device. */
export function stratifiedLevel(uniform: number, i: number, count: number): number {
  return Math.min(1, Math.fround(Math.fround(i + uniform) * Math.fround(1 / count)));
}

/** The entries of a table for levels, as the device finds them: times, rows of coefficients, weights. */
export function entriesAt(table: Float32Array, levels: Float32Array) {
  const [times, path, weights] = [
    new Float32Array(levels.length),
    new Float32Array(4 * levels.length),
    new Float32Array(levels.length),
  ];
  for (const [i, level] of levels.entries()) {
    const { words, at } = timeEntry;
    const entry = table.subarray(words * (Math.ceil(level * pathTimes) - 1));
    path.set(entry.subarray(at.path, at.path + 4), 4 * i);
    times[i] = entry[at.time] as number;
    weights[i] = entry[at.weight] as number;
  }
  return { times, path, weights };
}
