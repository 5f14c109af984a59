import { unless } from "../schedule/unless.ts";
import type { Ending } from "./ending.ts";
import type { Range } from "./ranges.ts";

/**
 * The results of ranges in order, each as soon as it and those before it are there. No more than `ahead()` ranges are under way or
 * wait for their turn, so a consumer that takes its time holds the work up. A range that fails ends the call at once.
 */
export async function* inOrder<T>(
  ending: Ending,
  ranges: Iterator<Range>,
  ahead: () => number,
  solve: (range: Range, index: number) => Promise<T>,
): AsyncGenerator<T> {
  const pending: Promise<T>[] = [];
  for (let index = 0, isOut = false; ; ) {
    while (!isOut && pending.length < ahead()) {
      const next = ranges.next();
      if (next.done) isOut = true;
      else {
        const range = solve(next.value, index++);
        range.catch(ending.fail);
        pending.push(range);
      }
    }
    const [oldest] = pending;
    if (!oldest) return;
    const result = await unless(ending.stopped, oldest);
    pending.shift();
    yield result;
    ending.signal.throwIfAborted();
  }
}
