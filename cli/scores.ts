import { item } from "../src/must.ts";
import { count } from "./report.ts";
import { RunningMean } from "./statistics.ts";

/** Log-probabilities of some rows, as a flow gives them. */
interface Scored {
  readonly logProb: Float32Array;
  /** With steps of their own, 0 for each row whose solve came to its end. */
  readonly status?: Uint8Array | undefined;
}

/** NaN for what a solve that stopped on its way has left, which is no log-probability. */
function ended({ logProb, status }: Scored): Float32Array {
  if (!status?.some((word) => word !== 0)) return logProb;
  return logProb.map((value, i) => (status[i] && Number.isFinite(value) ? Number.NaN : value));
}

/** The log-probabilities of many rows: their mean, and how many have none that belongs into it. */
export class Scores {
  /** Over the rows that have a finite log-probability. */
  readonly mean = new RunningMean();
  /** What a second solve adds, over the rows that have one in both. */
  readonly change = new RunningMean();
  readonly #columns: readonly string[];
  #minusInfinity = 0;
  #notANumber = 0;
  #unfinished = 0;
  #first: string | undefined;

  constructor(columns: readonly string[]) {
    this.#columns = columns;
  }

  /** Rows that were scored, with or without result. */
  get rows(): number {
    return this.mean.count + this.mean.nonFinite;
  }

  /**
   * Takes those of `data` [n, columns]; returns them with NaN for each whose solve did not come to its end.
   *
   * @param twice the same rows by a finer solve
   */
  add(data: Float64Array, scored: Scored, twice?: Scored): Float32Array {
    const values = ended(scored);
    this.mean.add(values);
    if (twice) this.change.add(ended(twice).map((value, i) => value - item(values, i)));
    for (const [i, value] of scored.logProb.entries()) {
      if (Number.isFinite(values[i])) continue;
      if (value === Number.NEGATIVE_INFINITY) this.#minusInfinity++;
      else if (Number.isFinite(value)) this.#unfinished++;
      else this.#notANumber++;
      this.#first ??= this.#describe(data, i);
    }
    return values;
  }

  #describe(data: Float64Array, row: number): string {
    const names = this.#columns.slice(0, 6);
    const cells = names.map((name, i) => `${name} ${data[row * this.#columns.length + i]}`);
    return `${cells.join(", ")}${names.length < this.#columns.length ? ", …" : ""}`;
  }

  /** For JSON. */
  get figures() {
    const { mean, standardError, nonFinite } = this.mean;
    return {
      mean,
      standardError,
      nonFinite: nonFinite - this.#unfinished,
      minusInfinity: this.#minusInfinity,
      unfinished: this.#unfinished,
    };
  }

  /** "-0.5432 ± 0.0123 nats": a single row has no error, and no row no mean. */
  get text(): string {
    const { mean, standardError } = this.mean;
    if (mean === null) return "none: no row has a finite one";
    return `${mean.toFixed(4)}${standardError === null ? "" : ` ± ${standardError.toFixed(4)}`} nats`;
  }

  /** What a second solve changes, "+0.00012". */
  get changeText(): string {
    const { mean } = this.change;
    return mean === null ? "nothing that can be told" : signed(mean);
  }

  /**
   * What is to be said of rows that are not in the mean; undefined where there are none.
   *
   * @param remedy what may help where a solve diverges
   */
  lost(rows: string, remedy: string): string | undefined {
    const lost = this.mean.nonFinite;
    if (lost === 0) return undefined;
    const causes = [
      [this.#minusInfinity, "-Infinity (density 0: too far from what was trained on)"],
      [this.#notANumber, `NaN or Infinity (the solve diverges there: ${remedy})`],
      [this.#unfinished, "unfinished (allow more with --max-steps, or a larger --tolerance)"],
    ] as const;
    const found = causes.filter(([number]) => number > 0);
    const [one] = found;
    const told =
      found.length === 1 && one ? one[1] : found.map(([number, cause]) => `${count(number)} ${cause}`).join(", ");
    return (
      `${count(lost)} of ${count(this.rows)} ${rows} ${lost === 1 ? "has" : "have"} no finite log-probability and ` +
      `${lost === 1 ? "is" : "are"} not in the mean: ${told}; the first: ${this.#first}`
    );
  }
}

/** "+0.00012"; what is 0 to all digits has no sign. */
function signed(mean: number): string {
  const digits = Math.abs(mean).toFixed(5);
  return Number(digits) === 0 ? digits : `${mean > 0 ? "+" : "−"}${digits}`;
}
