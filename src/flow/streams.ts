import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { partOf } from "../options/part.ts";
import { checked, type Travels } from "../options/schema.ts";
import { show } from "../options.ts";
import type { RunOptions } from "../schedule/job.ts";
import { unless } from "../schedule/unless.ts";
import { collect } from "./collect.ts";
import { logProbFields, pushFields, runFields } from "./fields.ts";
import type { LogProbOptions, PushOptions, SolveOptions } from "./options.ts";
import { logProbRequest, pushRequest } from "./requests.ts";
import { type LogProb, logProbResult, type Trajectory } from "./results.ts";
import { type DataUnitRows, isBuffer, type Rows } from "./rows.ts";
import type { FlowOnDevice } from "./shape.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** Rows [n, dim] of a stream, alone or with what belongs to each row. Chunks may differ in length. */
export type StreamChunk =
  | DataUnitRows
  | {
      /** For {@link Flow.pushStream}, whose rows are in the flow's own space, no Float64Array. */
      x: DataUnitRows;
      /** Class of each row, [n]. */
      labels?: Uint32Array | GPUBuffer;
      /** Context of each row, [n, context]. */
      context?: Rows;
      /** log p of each row at `from`, [n]; for {@link Flow.pushStream}. */
      logProb?: Rows;
    };

export type StreamChunks = Iterable<StreamChunk> | AsyncIterable<StreamChunk>;

/** Whether a value is rows, of any kind. */
export function isRows(given: unknown): given is DataUnitRows {
  const value = readable("x", given);
  return value instanceof Float32Array || value instanceof Float64Array || isBuffer(value);
}

/** The rows of a chunk, and the options that belong to them. */
export function partsOf(what: string, chunk: StreamChunk) {
  if (isRows(chunk)) return { x: chunk, conditions: {} };
  const { x, labels, context, logProb } = (chunk ?? {}) as Partial<Exclude<StreamChunk, DataUnitRows>>;
  if (!isRows(x))
    throw invalid(
      `${what}: a chunk is ${show(chunk)}, but it is a Float32Array, a GPUBuffer or { x, labels?, context?, logProb? } with one of these as x`,
    );
  const given = Object.entries({ labels, context, logProb }).filter(([, value]) => value !== undefined);
  return {
    x,
    conditions: Object.fromEntries(given) as { labels?: Uint32Array; context?: Float32Array; logProb?: Rows },
  };
}

/** What was passed as the chunks of a stream, when they can be iterated over. */
export function chunksOf(flow: FlowOnDevice, what: string, given: unknown): StreamChunks {
  const chunks = readable(`${what}: chunks`, given);
  const iterable = chunks as Partial<Iterable<StreamChunk> & AsyncIterable<StreamChunk>> | null | undefined;
  if (
    typeof chunks === "string" ||
    ArrayBuffer.isView(chunks) ||
    !(iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator])
  )
    throw invalid(
      `${what}: chunks is ${show(chunks)}, but it is an iterable or async iterable of Float32Arrays [n, ${flow.dim}]`,
    );
  return chunks as StreamChunks;
}

/** Options of a stream cannot hold what belongs to single rows, because no chunk would know which of them are its own. */
export function checkStreamOptions(
  what: string,
  fields: Readonly<Record<string, Travels>>,
  options: Pick<SolveOptions, "divergence" | "output">,
): void {
  for (const [name, value] of Object.entries(options)) {
    if (fields[name]?.travels === "particles" && typeof value !== "boolean")
      throw invalid(
        `${what}: ${name} is ${show(value)} for the whole stream, but it belongs to the rows of a chunk: pass chunks { x, ${name} }`,
      );
  }
  const { divergence, output } = options;
  if (typeof divergence === "object" && divergence?.vectors !== undefined)
    throw invalid(
      `${what}: divergence.vectors were given, but a stream has no known length: leave them out, probes are drawn per row`,
    );
  if (output !== undefined && output !== "cpu")
    throw invalid(`${what}: output is ${show(output)}, but a stream's results go to the host: leave it out`);
}

/** Chunks that are solved or waiting for their consumer at a time. */
const chunksAhead = 2;

/**
 * The results of `solve` for every chunk, in order. Two chunks are in work at a time and no further one is taken before the consumer
 * asks: a slow consumer holds the producer up. A slow producer holds no result up, so it may wait for one before it gives the
 * next chunk. However it ends, what runs is stopped and the producer is closed.
 */
async function* inOrder<T>(
  chunks: StreamChunks,
  signal: AbortSignal | undefined,
  solve: (chunk: StreamChunk, signal: AbortSignal) => Promise<T>,
): AsyncGenerator<T> {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    stop.signal.addEventListener("abort", () => reject(stop.signal.reason), { once: true });
  });
  aborted.catch(() => undefined);
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const source = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  const running: Promise<T>[] = [];
  // The chunk that was asked for. The producer's own failure waits for its turn, behind the chunks before it.
  let taking: Promise<void> | undefined;
  let open = true;
  let failure: { error: unknown } | undefined;
  const take = async () => {
    try {
      const next = await source.next();
      if (next.done) open = false;
      else if (!stop.signal.aborted) {
        const result = solve(next.value, stop.signal);
        result.catch(() => undefined);
        running.push(result);
      }
    } catch (error) {
      open = false;
      failure = { error };
    }
    taking = undefined;
  };
  try {
    for (;;) {
      stop.signal.throwIfAborted();
      if (open && !taking && running.length < chunksAhead) taking = take();
      const [oldest] = running;
      if (oldest) {
        const solved = await unless(
          aborted,
          Promise.race([oldest.then((result) => ({ result })), ...(taking ? [taking] : [])]),
        );
        if (!solved) continue;
        running.shift();
        yield solved.result;
      } else if (taking) await unless(aborted, taking);
      else if (failure) throw failure.error;
      else return;
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stop.abort();
    // A producer that is busy closes when it is done with that, which may be never; one that is idle is waited for.
    const closing = open ? Promise.resolve(source.return?.()) : undefined;
    closing?.catch(() => undefined);
    if (!taking) await closing;
    await Promise.allSettled(running);
  }
}

/** See {@link Flow.logProbStream}. */
export async function* logProbStream(
  flow: FlowOnDevice,
  chunks: StreamChunks,
  options: LogProbOptions,
): AsyncGenerator<LogProb & { start: number }> {
  const what = "logProbStream";
  checkStreamOptions(what, logProbFields, checked(what, logProbFields, options));
  yield* stream(flow, what, chunks, options, (x, o) => logProbRequest(flow, what, x, o), logProbResult);
}

/** See {@link Flow.pushStream}. */
export async function* pushStream(
  flow: FlowOnDevice,
  chunks: StreamChunks,
  options: PushOptions,
): AsyncGenerator<Trajectory & { start: number }> {
  const what = "pushStream";
  checkStreamOptions(what, pushFields, checked(what, pushFields, options));
  yield* stream(
    flow,
    what,
    chunks,
    options,
    (x, o) => pushRequest(flow, what, x as Rows, o),
    (result) => result,
  );
}

async function* stream<T extends object, O extends RunOptions>(
  flow: FlowOnDevice,
  what: string,
  chunks: StreamChunks,
  options: O,
  request: (x: DataUnitRows, options: O) => TrajectoryRequest,
  finish: (result: Trajectory) => T,
): AsyncGenerator<T & { start: number }> {
  let next = 0;
  yield* inOrder(chunksOf(flow, what, chunks), options.signal, async (chunk, signal) => {
    const { x, conditions } = partsOf(what, chunk);
    const { signal: _, ...rest } = options;
    const checked = request(x, { ...rest, ...conditions } as O);
    // particles are counted through the stream, so that each draws the probes that it would draw in one long call
    const start = next;
    next += checked.count;
    const running = { ...partOf(runFields, options), signal };
    const solved = await collect(flow, { ...checked, start: { ...checked.start, first: start } }, running);
    return { ...finish(solved), start };
  });
}
