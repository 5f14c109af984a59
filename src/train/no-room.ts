import { PushforwardError } from "../errors.ts";
import { sizeClass } from "../gpu/buffers.ts";
import type { PlannedBuffer } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import { mebibytes } from "../options.ts";

const figure = (value: number) => value.toLocaleString("en-US");
const error = (message: string) => new PushforwardError("out-of-memory", message);

/** Rows of `width` values of a training that a device with so much room in a buffer cannot bind. */
export function noRoomForRows(what: string, rows: number, width: number, room: number): PushforwardError {
  return error(
    `${what}: ${figure(rows)} rows of ${width} values take ${mebibytes(rows * width * 4)}, but this device binds at most ${mebibytes(room)} to a kernel, ${figure(Math.floor(room / (width * 4)))} rows: train on a random part of them, or on one part after another by calls of fewer steps`,
  );
}

/** A batch for which a device has no room. */
interface LargeBatch {
  readonly what: string;
  readonly batchSize: number;
  /** Equal parts that it is computed in. */
  readonly parts: number;
  /** Bytes that the largest buffer may have, and those for which there was room before the device said no. */
  readonly limit: number;
  readonly held: number;
  /** What a training in so many parts has on the device. */
  buffers(parts: number): readonly PlannedBuffer[];
}

/** Says in how many parts the batch fits, or that it does not in any. */
export function noRoomForBatch({ what, batchSize, parts, limit, held, buffers }: LargeBatch): PushforwardError {
  const needs = (count: number) => {
    const sizes = buffers(count).map(({ bytes }) => bytes);
    return { largest: Math.max(...sizes), total: sizes.reduce((sum, bytes) => sum + sizeClass(bytes), 0) };
  };
  const now = needs(parts);
  const fits = (count: number) => {
    const { largest, total } = needs(count);
    return largest <= limit && (now.largest > limit || total <= held);
  };
  const finer: number[] = [];
  for (let count = parts + 1; count <= batchSize; count++) if (batchSize % count === 0) finer.push(count);
  // the first of them that fits: what fits fits in smaller parts, too
  let [from, to] = [0, finer.length];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (fits(item(finer, middle))) to = middle;
    else from = middle + 1;
  }
  const begin = `${what}: a batch of ${figure(batchSize / parts)} samples at once needs ${mebibytes(now.total)}, for which this device has no room`;
  const count = finer[from];
  if (count === undefined)
    return error(
      `${begin}, and a smaller one does not fit either: close what else uses the GPU, or train a smaller network`,
    );
  const size = batchSize / count;
  return error(
    `${begin}: accumulate: ${count} computes the same in parts of ${figure(size)}, which fit; or pass a batchSize of at most ${size}`,
  );
}
