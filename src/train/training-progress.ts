import type { Progress } from "../schedule/job.ts";

/** Calls come no more often than this, but for the last one: a step may take less than a millisecond. */
const millisecondsBetween = 100;

/** Tells of steps done; those of an earlier run, before `first`, took none of this run's time. */
export function progressTeller(
  onProgress: ((progress: Progress) => void) | undefined,
  steps: number,
  batchSize: number,
  first: number,
): (done: number) => void {
  const started = performance.now();
  let last = started - millisecondsBetween;
  return (done) => {
    const now = performance.now();
    if (!onProgress || (now - last < millisecondsBetween && done < steps)) return;
    last = now;
    const stepsPerSecond = (done - first) / Math.max(1e-9, (now - started) / 1000);
    const secondsLeft = (steps - done) / stepsPerSecond;
    onProgress({ done, total: steps, particlesPerSecond: stepsPerSecond * batchSize, secondsLeft });
  };
}
