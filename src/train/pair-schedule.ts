import type { CouplingPlan } from "./coupling.ts";

/** Groups of pairs, numbered from the start of the training: `first`, … , `end` − 1. */
interface GroupRange {
  readonly first: number;
  readonly end: number;
}

/**
 * Which groups of pairs a step draws from: of the step's number alone, so a training that is resumed has the same. A pair is used
 * `reuse` times on average, so after s steps s·batchSize/(reuse·group) groups have been needed, and the last `kept` of them are drawn
 * from. Where each pair is used once, a batch has the pairs with the numbers of its samples.
 */
export class PairSchedule {
  readonly group: number;
  /** Groups that the device has room for; group g lies in slot g mod `slots`. */
  readonly slots: number;
  readonly #kept: number;
  readonly #batchSize: number;
  readonly #uses: number;

  /** @param steps where all groups of so many steps are to stay on the device */
  constructor(
    { group, reuse, kept }: Pick<CouplingPlan, "group" | "reuse" | "kept">,
    batchSize: number,
    steps?: number,
  ) {
    this.group = group;
    this.#kept = kept;
    this.#batchSize = batchSize;
    this.#uses = reuse * group;
    const most = kept > 0 ? kept : Math.ceil(batchSize / group) + 1;
    this.slots = steps === undefined ? most : Math.max(most, this.groups(steps - 1).end);
  }

  groups(step: number): GroupRange {
    const end = Math.ceil(((step + 1) * this.#batchSize) / this.#uses);
    const first = this.#kept > 0 ? Math.max(0, end - this.#kept) : Math.floor((step * this.#batchSize) / this.group);
    return { first, end };
  }

  /**
   * Pairs of a step: `first` is the number of the first one, `at` its place among those on the device, `room` how many there is room
   * for. Each sample draws one of the `drawn` pairs from there on; with 0, sample k has the pair number `first` + k.
   */
  pairs(step: number): { first: number; at: number; room: number; drawn: number } {
    const { first, end } = this.groups(step);
    const room = this.slots * this.group;
    const from = this.#kept > 0 ? first * this.group : step * this.#batchSize;
    return { first: from, at: from % room, room, drawn: this.#kept > 0 ? (end - first) * this.group : 0 };
  }
}
