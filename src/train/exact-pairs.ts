import type { SourceSpec } from "../flow/source.ts";
import { item } from "../must.ts";
import { type Key, philox, streams } from "../random/philox.ts";
import { shuffledRow } from "../random/shuffle.ts";
import type { MatchJob } from "../transport/match.ts";
import type { Matching } from "../transport/matching.ts";
import { drawnRow, type RowDraws } from "./row-draws.ts";
import { drawStarts } from "./starts.ts";

/** What pairs are made of. */
export interface PairSource {
  readonly dim: number;
  readonly key: Key;
  /** What x_0 is drawn from, or x_0 by the numbers of the samples, [count, dim] in the flow's own space. */
  readonly starts: SourceSpec | ((first: number, count: number) => Promise<Float32Array>);
  /** Data in the flow's own space, [rows, dim]. */
  readonly data: Float32Array;
  /** Class of each row. */
  readonly labels?: Uint32Array | undefined;
  /** Shares of the rows. Their noise is added where a pair is drawn, anew each time. */
  readonly draws?: RowDraws | undefined;
  /** Whether each pass over the data has every row once. */
  readonly shuffled?: boolean | undefined;
  /** Context of each row, [rows, width], in the units in which distances of contexts count beside those of states. */
  readonly context?: Float32Array | undefined;
}

/** The pairs of one group. */
export interface PairGroup {
  /** The row of the data that each sample of the group is paired with. */
  readonly rows: Uint32Array;
  /** The samples, [size, dim]. */
  readonly starts: Float32Array;
  /** Means of |x_1 − x_0|²: over these pairs, and over the independent ones that they were made from. */
  readonly coupled: number;
  readonly independent: number;
}

/**
 * Groups of pairs of minibatch optimal transport (Pooladian et al. 2023; Tong et al. 2024, §3.2). Group g has the samples from
 * number g·size on: x_0 and a row of the data, both drawn by that number; then the rows are exchanged so that Σ |x_1 − x_0|² is
 * least. With labels they are exchanged within their class alone: pairs across classes would give every class a source of its own
 * (Cheng & Schwing 2025). With context, a sample's x_0 comes with the context c′ of its own row, and Σ |x_1 − x_0|² + |c − c′|² is
 * least, so that rows are exchanged where contexts are close (Kerrigan et al. 2024; Chemseddine et al. 2024).
 *
 * A group is a function of its number alone, whoever computes it and when. Groups are asked for some time before they are needed.
 */
export class ExactPairs {
  readonly #from: PairSource;
  readonly #size: number;
  readonly #matching: Matching;
  /** Groups of the training. */
  readonly #total: number;
  readonly #groups = new Map<number, Promise<PairGroup>>();

  constructor(from: PairSource, size: number, matching: Matching, total: number) {
    this.#from = from;
    this.#size = size;
    this.#matching = matching;
    this.#total = total;
  }

  group(number: number): Promise<PairGroup> {
    const last = Math.min(this.#total - 1, number + this.#matching.ahead);
    for (let next = number; next <= last; next++) {
      if (this.#groups.has(next)) continue;
      const made = this.#make(next);
      // whoever needs it hears of it
      made.catch(() => undefined);
      this.#groups.set(next, made);
    }
    return this.#groups.get(number) ?? this.#make(number);
  }

  /** Groups before this number are not needed any more. */
  forget(before: number): void {
    for (const number of this.#groups.keys()) if (number < before) this.#groups.delete(number);
  }

  async #make(number: number): Promise<PairGroup> {
    const { starts: source, dim, key } = this.#from;
    const first = number * this.#size;
    const starts =
      typeof source === "function"
        ? await source(first, this.#size)
        : drawStarts(source, dim, key, streams.batchSource, first, this.#size);
    const { job, members, rows } = drawGroup(this.#from, starts, first, this.#size);
    const { order, coupled, independent } = await this.#matching.solve(job);
    const paired = new Uint32Array(this.#size);
    for (const [k, j] of order.entries()) paired[item(members, k)] = item(rows, item(members, j));
    return { rows: paired, starts, coupled: coupled / this.#size, independent: independent / this.#size };
  }
}

/** A group's points, its members class by class, and the row that each sample has drawn. */
function drawGroup(
  { dim, key, data, labels, draws, shuffled, context }: PairSource,
  states: Float32Array,
  first: number,
  size: number,
): { job: MatchJob; members: Uint32Array; rows: Uint32Array } {
  const count = data.length / dim;
  const words = new Uint32Array(4);
  const rows = Uint32Array.from({ length: size }, (_, i) => {
    const sample = first + i;
    if (shuffled) return shuffledRow(sample % count, Math.floor(sample / count), count, key);
    philox(sample >>> 0, Math.floor(sample / 2 ** 32), 0, streams.batchIndex, key, words);
    return drawnRow(draws, words, count);
  });
  const { members, runs } = byClass(labels?.length ? rows.map((row) => item(labels, row)) : new Uint32Array(size));
  const contexts = context ? context.length / count : 0;
  const width = dim + contexts;
  const starts = new Float32Array(size * width);
  const ends = new Float32Array(size * width);
  for (const [k, i] of members.entries()) {
    const row = item(rows, i);
    starts.set(states.subarray(i * dim, (i + 1) * dim), k * width);
    ends.set(data.subarray(row * dim, (row + 1) * dim), k * width);
    if (!context) continue;
    const own = context.subarray(row * contexts, (row + 1) * contexts);
    starts.set(own, k * width + dim);
    ends.set(own, k * width + dim);
  }
  return { job: { starts, ends, width, dim, runs }, members, rows };
}

/** The numbers of the samples, sorted by class, and how many each class has. */
function byClass(labels: Uint32Array): { members: Uint32Array; runs: Uint32Array } {
  const classes = new Map<number, number[]>();
  for (const [i, label] of labels.entries()) {
    const list = classes.get(label);
    if (list) list.push(i);
    else classes.set(label, [i]);
  }
  const lists = [...classes.values()];
  return { members: Uint32Array.from(lists.flat()), runs: Uint32Array.from(lists, ({ length }) => length) };
}
