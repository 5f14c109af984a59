import { PushforwardError } from "../errors.ts";

/** Version of this package; a test holds it to package.json. */
export const version = "0.1.0";

/** Raised whenever jobs, inputs or results change their form. */
export const protocol = 1;

/** Keys of BullMQ and of this library all begin with this, then the queue's name. */
export const prefix = "pushforward";

/** Seconds for which what a caller has put into Redis outlives its last sign of life, and results their making. */
export const leaseSeconds = 120;

/** How often a job is tried before its failure is final. */
export const attempts = 3;

/** How often a range may lose its worker before it is given up: something about it ends workers then. */
export const mostStalls = 10;

/** The calls that can be spread: those that bring particles back, and those that sum them up. */
export type CallName = "sample" | "logProb" | SummaryName;
export type SummaryName = "moments" | "histogram" | "meanLogProb";

/** A range of particles of one call, as a job of the queue. */
export interface RangeJob {
  readonly protocol: number;
  readonly version: string;
  /** Id of the call, whose key in Redis lives as long as somebody waits for the results. */
  readonly call: string;
  readonly what: CallName;
  /** SHA-256 of the flow's parcel, in hex. */
  readonly flow: string;
  /** Index of the first particle among the `total` of the call. */
  readonly start: number;
  readonly count: number;
  readonly total: number;
  /** What of the call's options is JSON. What belongs to single particles is in the input beside the job. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What comes back with the arrays of a range. */
export interface RangeHead {
  readonly start: number;
  readonly count: number;
  readonly worker: string;
  readonly adapter: string;
  readonly figures: RangeFigures;
}

/** The figures of a range beside its arrays. */
export interface RangeFigures {
  readonly nonFinite: number;
  /** Of a solve. */
  readonly nfe?: number;
  readonly steps?: { accepted: number; rejected: number; most: number };
  readonly times?: number[];
  /** Of a reduction: particles that are summed up on the device, and how often sums came back. */
  readonly block?: number;
  readonly parts?: number;
}

/** Names of this library's keys beside those of BullMQ's queue. */
export function keysOf(queue: string) {
  const data = `${prefix}:${queue}:data`;
  return {
    /** BullMQ's own record of a job. */
    job: (id: string) => `${prefix}:${queue}:${id}`,
    /** BullMQ's own keys of the whole queue. */
    ofQueue: (name: string) => `${prefix}:${queue}:${name}`,
    call: (id: string) => `${data}:call:${id}`,
    flow: (hash: string) => `${data}:flow:${hash}`,
    /** The callers that need a flow. */
    holders: (hash: string) => `${data}:holders:${hash}`,
    input: (job: string) => `${data}:input:${job}`,
    result: (job: string) => `${data}:result:${job}`,
  };
}

/** Why a worker of this version cannot do a job, if it cannot: other versions may give other bits. */
export function whyNot(job: Partial<RangeJob> | null | undefined): string | undefined {
  if (job?.protocol === protocol && job.version === version) return undefined;
  return `the caller is pushforward ${job?.version ?? "of an unknown version"} (protocol ${job?.protocol ?? "unknown"}), but this worker is pushforward ${version} (protocol ${protocol}): install one version on all machines, because others may give other bits`;
}

/** The words of a range in messages. */
export function describeRange({ start, count, total, what }: Pick<RangeJob, "start" | "count" | "total" | "what">) {
  return `particles ${start} to ${start + Math.max(1, count) - 1} of ${total} (${what})`;
}

const codes = [
  "invalid-argument",
  "no-adapter",
  "device-lost",
  "out-of-memory",
  "shader",
  "format",
  "unsupported",
  "connection",
] as const;

/** Errors that another attempt cannot mend. */
const final = new Set(["invalid-argument", "shader", "format", "unsupported"]);

/** A failure in a worker as the text that BullMQ keeps, and whether another attempt may mend it. */
export function failureText(error: unknown, worker: string): { text: string; isFinal: boolean } {
  const code = error instanceof PushforwardError ? error.code : "unsupported";
  const message = error instanceof Error ? error.message : String(error);
  return {
    text: `${code}: ${message} (worker ${worker})`,
    isFinal: error instanceof PushforwardError && final.has(code),
  };
}

/** The error that the caller gets for a range that has failed for good. */
export function failureOf(reason: string, range: Parameters<typeof describeRange>[0]): PushforwardError {
  const [, word, message] = /^([a-z-]+): ([\s\S]*)$/.exec(reason) ?? [];
  const code = codes.find((known) => known === word);
  if (code) return new PushforwardError(code, `${describeRange(range)} failed: ${message}`);
  const text = /stalled more than allowable/.test(reason)
    ? `${mostStalls + 1} workers vanished in the middle of it: see what ends them (memory, a driver that crashes), or pass a smaller rangeSize`
    : reason;
  return new PushforwardError("connection", `${describeRange(range)} failed: ${text}`);
}
