import { item } from "../must.ts";
import { steppedTimes, type TimeGrid } from "../ode/grid.ts";
import { type Key, philox, streams, uniform01 } from "../random/philox.ts";

/** The grid of an optimiser step, whose inner times are moved by up to `jitter` steps of the solver: numbers of the step alone. */
export function jittered(grid: TimeGrid, jitter: number, step: number, key: Key): TimeGrid {
  const words = new Uint32Array(4);
  const by = (k: number) => {
    philox(step % 2 ** 32, Math.floor(step / 2 ** 32), Math.floor(k / 4), streams.stepTimes, key, words);
    return jitter * (2 * uniform01(item(words, k % 4)) - 1);
  };
  const { times, warp = 1 } = grid;
  const steps = times.length - 1;
  return { ...grid, times: steppedTimes(item(times, 0), item(times, steps), steps, warp, by) };
}
