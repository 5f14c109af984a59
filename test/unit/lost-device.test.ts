import { expect, test } from "vitest";
import { invalid, PushforwardError } from "../../src/errors.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Session } from "../../src/gpu/session.ts";
import { acrossLosses, type LongCall, onDevice } from "../../src/schedule/loss.ts";

/** A device that can be lost, and how often one was opened. */
function devices() {
  const opened: { isLost: boolean }[] = [];
  const session = async () => {
    const state = { isLost: false };
    opened.push(state);
    return { isDisposed: false, hasGone: async () => state.isLost, state } as unknown as Session;
  };
  return { gpu: { session } as unknown as Gpu, opened };
}

function lose(session: Session): never {
  (session as unknown as { state: { isLost: boolean } }).state.isLost = true;
  throw new Error("the device failed");
}

/** Counts to `total`; `fault` may lose the device before a number. */
function counting(
  total: number,
  fault: (next: number, session: Session) => void,
  more: Partial<LongCall<number>> = {},
) {
  const record = { prepared: [] as number[], ended: 0 };
  let next = 0;
  const call: LongCall<number> = {
    async *on(session) {
      try {
        while (next < total) {
          fault(next, session);
          next++;
          yield next;
        }
      } finally {
        record.ended++;
      }
    },
    reached: () => next,
    prepare(_, losses) {
      record.prepared.push(losses);
      return "again";
    },
    doing: () => `counting took ${next + 1}`,
    ...more,
  };
  return { call, record };
}

async function all<T>(results: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const result of results) list.push(result);
  return list;
}

test("a call goes on where it was with another device, and every device's work is ended", async () => {
  const { gpu, opened } = devices();
  const { call, record } = counting(5, (next, session) => {
    if (opened.length === 1 && next === 2) lose(session);
    if (opened.length === 2 && next === 4) lose(session);
  });
  expect(await all(acrossLosses(gpu, call))).toEqual([1, 2, 3, 4, 5]);
  expect(opened).toHaveLength(3);
  expect(record).toEqual({ prepared: [1, 1], ended: 3 });
});

test("five losses without a result in between are borne, the sixth ends the call in words", async () => {
  const { gpu, opened } = devices();
  const five = counting(3, (next, session) => {
    if (next === 1 && opened.length <= 5) lose(session);
  });
  expect(await all(acrossLosses(gpu, five.call))).toEqual([1, 2, 3]);
  expect(five.record.prepared).toEqual([1, 2, 3, 4, 5]);
  const always = counting(3, (next, session) => {
    if (next === 1) lose(session);
  });
  await expect(all(acrossLosses(gpu, always.call))).rejects.toThrow(
    "the GPU device was lost 6 times in a row while counting took 2: see whether its driver has an update",
  );
});

test("an error that is no loss is thrown as it is, at once where it has a reason of its own", async () => {
  const { gpu } = devices();
  const own = counting(3, (next, session) => {
    if (next !== 1) return;
    (session as unknown as { state: { isLost: boolean } }).state.isLost = true;
    throw invalid("x is wrong");
  });
  await expect(all(acrossLosses(gpu, own.call))).rejects.toThrow("x is wrong");
  const other = counting(3, () => {
    throw new Error("a fault");
  });
  await expect(all(acrossLosses(gpu, other.call))).rejects.toThrow("a fault");
  expect([own.record, other.record].map(({ ended }) => ended)).toEqual([1, 1]);
});

test("an abort gives its reason, also where the device is lost at the same time", async () => {
  const { gpu } = devices();
  const stop = new AbortController();
  const { call } = counting(
    3,
    (next, session) => {
      if (next !== 1) return;
      stop.abort(new Error("enough"));
      lose(session);
    },
    { signal: stop.signal },
  );
  await expect(all(acrossLosses(gpu, call))).rejects.toThrow("enough");
});

test("a call that cannot go on says why, and one that was through is done", async () => {
  const { gpu } = devices();
  const atEnd = (next: number, session: Session) => {
    if (next === 2) lose(session);
  };
  const why = new PushforwardError("device-lost", "its buffers are gone");
  const stuck = counting(3, atEnd, {
    prepare: () => {
      throw why;
    },
  });
  await expect(all(acrossLosses(gpu, stuck.call))).rejects.toBe(why);
  expect(await all(acrossLosses(gpu, counting(3, atEnd, { prepare: () => "done" }).call))).toEqual([1, 2]);
});

test("an early end ends the work on the device", async () => {
  const { gpu } = devices();
  const { call, record } = counting(5, () => undefined);
  for await (const result of acrossLosses(gpu, call)) if (result === 2) break;
  expect(record.ended).toBe(1);
});

test("a single result is computed again after a loss", async () => {
  const { gpu, opened } = devices();
  const work = async (session: Session) => (opened.length < 3 ? lose(session) : opened.length);
  expect(await onDevice(gpu, "flowMatchingGradients", work)).toBe(3);
  await expect(onDevice(gpu, "flowMatchingGradients", async (session) => lose(session))).rejects.toThrow(
    "lost 6 times in a row while flowMatchingGradients ran",
  );
});
