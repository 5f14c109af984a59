import { PushforwardError } from "../errors.ts";
import { codeOf, describeRange, failureIn, failureOfRange, faultOfTask, type RangeTask } from "../spread/range-task.ts";
import { version } from "../spread/version.ts";

/** Raised whenever jobs, inputs or results change their form. */
export const protocol = 2;

/** Keys of BullMQ and of this library all begin with this, then the queue's name. */
export const prefix = "pushforward";

/** Seconds for which what a caller has put into Redis outlives its last sign of life, and results their making. */
export const leaseSeconds = 120;

/** How often a range may lose its worker before it is given up: something about it ends workers then. */
export const mostStalls = 10;

/** A range of particles of one call, as a job of the queue. */
export interface RangeJob extends RangeTask {
  readonly protocol: number;
  readonly version: string;
  /** Id of the call, whose key in Redis lives as long as somebody waits for the results. */
  readonly call: string;
  /** SHA-256 of the flow's parcel, in hex. */
  readonly flow: string;
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
  if (job?.protocol === protocol && job.version === version) {
    const fault =
      faultOfTask(job) ??
      ([job.call, job.flow].every((id) => typeof id === "string") ? undefined : "names no call or no flow");
    return fault && `the job ${fault}, so it is none of pushforward: let nothing else write to its queue`;
  }
  return `the caller is pushforward ${job?.version ?? "of an unknown version"} (protocol ${job?.protocol ?? "unknown"}), but this worker is pushforward ${version} (protocol ${protocol}): install one version on all machines, because others may give other bits`;
}

/** A failure in a worker as the text that BullMQ keeps, and whether another attempt may mend it. */
export function failureText(error: unknown, worker: string): { text: string; isFinal: boolean } {
  const { code, message, isFinal } = failureIn(worker, error);
  return { text: `${code}: ${message}`, isFinal };
}

/** The error that the caller gets for a range that has failed for good. */
export function failureOf(reason: string, range: Parameters<typeof describeRange>[0]): PushforwardError {
  const [, word, message] = /^([a-z-]+): ([\s\S]*)$/.exec(reason) ?? [];
  const code = codeOf(word);
  if (code && message !== undefined) return failureOfRange(range, { code, message });
  const text = /stalled more than allowable/.test(reason)
    ? `${mostStalls + 1} workers vanished in the middle of it: see what ends them (memory, a driver that crashes), or pass a smaller rangeSize`
    : reason;
  return new PushforwardError("connection", `${describeRange(range)} failed: ${text}`);
}
