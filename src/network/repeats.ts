/** Something that can be done again with other numbers: those that say the same have the same `text`. */
export interface Repeatable {
  readonly text: string;
  /** What differs, each with a name; one name has one number. */
  readonly numbers: ReadonlyMap<string, number>;
  /** What it costs to write it once more. */
  readonly cost: number;
}

/** Turns of a loop over `period` things from `start` on, and by how much the numbers of the first turn grow from turn to turn. */
interface Repeats {
  readonly start: number;
  readonly period: number;
  readonly turns: number;
  readonly strides: ReadonlyMap<string, number>;
}

/** The loop that saves most of a list of things; one turn over nothing where none saves anything. */
export function repeats(list: readonly Repeatable[]): Repeats {
  let [best, saved]: [Repeats, number] = [{ start: 0, period: 0, turns: 1, strides: new Map() }, 0];
  for (let period = 1; 2 * period <= list.length; period++)
    for (let start = 0; start + 2 * period <= list.length; start++) {
      const own = list.slice(start, start + period);
      const strides = stridesOf(own, list.slice(start + period, start + 2 * period), 1);
      if (!strides) continue;
      let turns = 2;
      for (; start + (turns + 1) * period <= list.length; turns++) {
        const next = list.slice(start + turns * period, start + (turns + 1) * period);
        const further = stridesOf(own, next, turns);
        if (!further || [...further].some(([name, stride]) => stride !== strides.get(name))) break;
      }
      const saves = (turns - 1) * own.reduce((sum, { cost }) => sum + cost, 0);
      if (saves > saved) [best, saved] = [{ start, period, turns, strides }, saves];
    }
  return best;
}

/** What the numbers of a turn grow by until another one, over the turns between; undefined where the two do not say the same. */
function stridesOf(
  own: readonly Repeatable[],
  other: readonly Repeatable[],
  turns: number,
): Map<string, number> | undefined {
  const strides = new Map<string, number>();
  for (const [i, { text, numbers }] of own.entries()) {
    const then = other[i];
    if (then?.text !== text) return undefined;
    const values = [...then.numbers.values()];
    for (const [k, [name, value]] of [...numbers].entries()) {
      const stride = ((values[k] ?? Number.NaN) - value) / turns;
      if (!Number.isInteger(stride) || stride < 0 || (strides.get(name) ?? stride) !== stride) return undefined;
      strides.set(name, stride);
    }
  }
  return strides;
}
