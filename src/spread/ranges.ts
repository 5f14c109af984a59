/** Particles start … start + count − 1 of a call. */
export interface Range {
  readonly start: number;
  readonly count: number;
}

/** Ranges begin at multiples of this, which is the block that reductions sum by. */
const block = 1024;

/** A range's results should fit well into one message or one value of Redis, and into a worker's memory several times. */
const mostBytes = 16 * 1024 * 1024;

/** How many ranges a worker should get of a call, so that the last ones end together and a lost one costs little. */
const perWorker = 8;

/** Particles per range for a call of `total` particles with results of `bytes` each on so many workers. */
export function defaultRangeSize(total: number, bytes: number, workers: number): number {
  const share = Math.min(total / (perWorker * Math.max(1, workers)), 1 << 17, mostBytes / bytes);
  return block * Math.max(1, Math.ceil(share / block));
}

/** The ranges of a call, in order; a call on no particles has one empty range, which knows what its result looks like. */
export function* rangesOf(total: number, size: number): Generator<Range> {
  if (total === 0) yield { start: 0, count: 0 };
  for (let start = 0; start < total; start += size) yield { start, count: Math.min(size, total - start) };
}

/** The ranges of a call on so many workers: by its own size, in whole blocks, or by the default. */
export function rangesOfCall(
  call: { total: number; bytesPerParticle: number; spread: { rangeSize?: number } },
  workers: number,
): Generator<Range> {
  const size = call.spread.rangeSize ?? defaultRangeSize(call.total, call.bytesPerParticle, workers);
  return rangesOf(call.total, Math.ceil(size / block) * block);
}
