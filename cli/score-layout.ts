import type { CsvChunk } from "./csv.ts";
import { shown } from "./csv-text.ts";
import type { Block } from "./rows.ts";

/** The columns of a file of scores. */
interface ScoreLayout {
  readonly names: readonly string[];
  /** What a person may want to know of the names. */
  readonly notices: readonly string[];
  blocks(chunk: CsvChunk, scores: Float32Array): Block[];
}

/**
 * What stands beside the scores: all columns of the data as they were written, and the numbers of the rows where some are left out.
 *
 * @param isText whether the file holds text; else it has numbers alone, in f32, which could not count the rows of a large file
 */
export function scoreLayout(
  { names, columns }: Pick<CsvChunk, "names" | "columns">,
  { isText, onlyScores, skipInvalid }: { isText: boolean; onlyScores: boolean; skipInvalid: boolean },
): ScoreLayout {
  const own = onlyScores ? [] : isText ? names : columns;
  const isNumbered = isText && skipInvalid;
  const added = (isNumbered ? ["row", "log_prob"] : ["log_prob"]).map((name) => ({ name, free: freeName(name, own) }));
  return {
    names: [...own, ...added.map(({ free }) => free)],
    notices: added
      .filter(({ name, free }) => free !== name)
      .map(({ name, free }) => `the data has a column ${shown(name)} of its own: the new one is called ${shown(free)}`),
    blocks: (chunk, scores) => [
      ...(onlyScores ? [] : [isText ? { text: chunk.text } : { data: chunk.data, width: columns.length }]),
      ...(isNumbered ? [{ data: Float64Array.from(chunk.numbers), width: 1 }] : []),
      { data: scores, width: 1 },
    ],
  };
}

function freeName(name: string, taken: readonly string[]): string {
  let free = name;
  for (let number = 2; taken.includes(free); number++) free = `${name}.${number}`;
  return free;
}
