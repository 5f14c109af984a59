import { invalid } from "../errors.ts";
import { show } from "../options.ts";
import type { Flow, LogProbOptions, PushOptions } from "./flow.ts";
import { logProbRequest, pushRequest } from "./requests.ts";
import { collect, type LogProb, logProbResult, type Trajectory } from "./results.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/** Rows [n, dim] of a stream, alone or with what belongs to each row. Chunks may differ in length. */
export type StreamChunk =
  | Float32Array
  | {
      x: Float32Array;
      /** Class of each row, [n]. */
      labels?: Uint32Array;
      /** Context of each row, [n, context]. */
      context?: Float32Array;
    };

export type StreamChunks = Iterable<StreamChunk> | AsyncIterable<StreamChunk>;

function partsOf(what: string, chunk: StreamChunk) {
  if (chunk instanceof Float32Array) return { x: chunk, conditions: {} };
  if (!(chunk?.x instanceof Float32Array))
    throw invalid(
      `${what}: a chunk is ${show(chunk)}, but it is a Float32Array or { x: Float32Array, labels?, context? }`,
    );
  const { x, labels, context } = chunk;
  return { x, conditions: { ...(labels && { labels }), ...(context && { context }) } };
}

/**
 * The results of `solve` for every chunk, in order. One chunk is solved while the consumer has the one before it, and no further one is
 * taken: a slow consumer holds the producer up. However it ends, what runs is stopped and the producer is closed.
 */
async function* inOrder<T>(
  chunks: StreamChunks,
  signal: AbortSignal | undefined,
  solve: (chunk: StreamChunk, signal: AbortSignal) => Promise<T>,
): AsyncGenerator<T> {
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", onAbort, { once: true });
  let running: Promise<T> | undefined;
  try {
    for await (const chunk of chunks) {
      const before = running;
      running = solve(chunk, stop.signal);
      running.catch(() => undefined);
      if (before) yield await before;
    }
    if (running) yield await running;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    stop.abort();
    await running?.catch(() => undefined);
  }
}

/** See {@link Flow.logProbStream}. */
export async function* logProbStream(
  flow: Flow,
  chunks: StreamChunks,
  options: LogProbOptions,
): AsyncGenerator<LogProb & { start: number }> {
  const what = "logProbStream";
  yield* stream(flow, what, chunks, options, (x, o) => logProbRequest(flow, what, x, o), logProbResult);
}

/** See {@link Flow.pushStream}. */
export async function* pushStream(
  flow: Flow,
  chunks: StreamChunks,
  options: PushOptions,
): AsyncGenerator<Trajectory & { start: number }> {
  const what = "pushStream";
  yield* stream(
    flow,
    what,
    chunks,
    options,
    (x, o) => pushRequest(flow, what, x, o),
    (result) => result,
  );
}

async function* stream<T extends object, O extends { signal?: AbortSignal }>(
  flow: Flow,
  what: string,
  chunks: StreamChunks,
  options: O,
  request: (x: Float32Array, options: O) => TrajectoryRequest,
  finish: (result: Trajectory) => T,
): AsyncGenerator<T & { start: number }> {
  const iterable = chunks as Partial<Iterable<StreamChunk> & AsyncIterable<StreamChunk>> | null | undefined;
  if (chunks instanceof Float32Array || !(iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator]))
    throw invalid(
      `${what}: chunks is ${show(chunks)}, but it is an iterable or async iterable of Float32Arrays [n, ${flow.dim}]`,
    );
  let next = 0;
  yield* inOrder(chunks, options.signal, async (chunk, signal) => {
    const { x, conditions } = partsOf(what, chunk);
    const { signal: _, ...rest } = options;
    const checked = request(x, { ...rest, ...conditions } as O);
    // particles are counted through the stream, so that each draws the probes that it would draw in one long call
    const start = next;
    next += checked.count;
    const solved = await collect(
      flow,
      { ...checked, start: { rows: x, first: start } },
      { ...rest, signal, output: "cpu" },
    );
    return { ...finish(solved), start };
  });
}
