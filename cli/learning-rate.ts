/** A linear rise over `warmup` steps to `peak`, then half a cosine down to 0 at `steps`; steps count from 0. */
export function cosineWithWarmup(peak: number, steps: number, warmup: number): (step: number) => number {
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / warmup;
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return (peak * (1 + Math.cos(Math.PI * progress))) / 2;
  };
}
