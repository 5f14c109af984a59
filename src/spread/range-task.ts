import { errorCodes, invalid, PushforwardError, type PushforwardErrorCode } from "../errors.ts";
import { show } from "../options.ts";
import type { Arrays } from "./parcel.ts";

/** The calls that can be spread: those that bring particles back, and those that sum them up. */
export type CallName = "sample" | "logProb" | SummaryName;
type SummaryName = "moments" | "histogram" | "meanLogProb";

/** What a worker is asked to compute: a range of particles of one call. */
export interface RangeTask {
  readonly what: CallName;
  /** Index of the first particle among the `total` of the call. */
  readonly start: number;
  readonly count: number;
  readonly total: number;
  /** What of the call's options is JSON. What belongs to single particles is in the input of the range. */
  readonly options: Readonly<Record<string, unknown>>;
}

const callNames: readonly unknown[] = ["sample", "logProb", "moments", "histogram", "meanLogProb"] satisfies CallName[];

/** What is wrong with a task that came from elsewhere, in words that follow its name; undefined for one that can be computed. */
export function faultOfTask(task: unknown): string | undefined {
  if (typeof task !== "object" || task === null) return `is ${show(task)}`;
  const { what, start, count, total, options } = task as Partial<Record<keyof RangeTask, unknown>>;
  if (!callNames.includes(what)) return `asks for ${show(what)}, where calls are ${callNames.join(", ")}`;
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!isCount(start) || !isCount(count) || !isCount(total) || start + count > total)
    return `is for particles from ${show(start)} on, ${show(count)} of ${show(total)}`;
  if (typeof options !== "object" || options === null || Array.isArray(options))
    return `has ${show(options)} as options`;
  return undefined;
}

/** Throws for a task or input that no caller of this library sends. */
export function checkTask(task: unknown, input: unknown): void {
  const isRecord = typeof input === "object" && input !== null;
  const isInput = isRecord && Object.values(input).every((array) => ArrayBuffer.isView(array));
  const fault = faultOfTask(task) ?? (isInput ? undefined : `has ${show(input)} as the arrays of its particles`);
  if (fault !== undefined)
    throw invalid(`the job ${fault}, so it is none of this library: let nothing else send to its workers`);
}

/** The figures of a range beside its arrays. */
export interface RangeFigures {
  /** Of a solve. */
  readonly nfe?: number;
  readonly nonFinite?: number;
  readonly unfinished?: number;
  readonly steps?: { accepted: number; rejected: number; most: number };
  readonly times?: number[];
  /** Of a reduction: particles that are summed up on the device, and how often sums came back. */
  readonly block?: number;
  readonly parts?: number;
}

/** What comes back with the arrays of a range. */
export interface RangeHead {
  readonly start: number;
  readonly count: number;
  readonly worker: string;
  readonly adapter: string;
  readonly figures: RangeFigures;
}

/** A range that was computed, and by whom. */
export interface FinishedRange extends RangeHead {
  readonly arrays: Arrays;
}

/** How often a range is tried before its failure is final. */
export const attempts = 3;

/** The words of a range in messages. */
export function describeRange({ start, count, total, what }: Pick<RangeTask, "start" | "count" | "total" | "what">) {
  return `particles ${start} to ${start + Math.max(1, count) - 1} of ${total} (${what})`;
}

/** The code that a word stands for, if it is one. */
export function codeOf(word: string | undefined): PushforwardErrorCode | undefined {
  return errorCodes.find((known) => known === word);
}

/** Errors that another attempt cannot mend. */
const final: ReadonlySet<PushforwardErrorCode> = new Set(["invalid-argument", "shader", "format", "unsupported"]);

/** A failure in a worker as it travels: its code, its message with the worker's name, and whether another attempt may mend it. */
export interface Failure {
  readonly code: PushforwardErrorCode;
  readonly message: string;
  readonly isFinal: boolean;
}

export function failureIn(worker: string, error: unknown): Failure {
  const code = error instanceof PushforwardError ? error.code : "unsupported";
  const message = error instanceof Error ? error.message : String(error);
  return {
    code,
    message: `${message} (worker ${worker})`,
    isFinal: error instanceof PushforwardError && final.has(code),
  };
}

/** The error that the caller gets for a range that has failed for good. */
export function failureOfRange(
  range: Parameters<typeof describeRange>[0],
  { code, message }: Pick<Failure, "code" | "message">,
): PushforwardError {
  return new PushforwardError(code, `${describeRange(range)} failed: ${message}`);
}
