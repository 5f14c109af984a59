import type { Panel } from "../cli/plot/figure.ts";

/** The distribution function of numbers in (0, 1), as dots that lie close enough for a line. */
function curve(values: Float64Array): Float32Array {
  const sorted = values.slice().sort();
  const dots: number[] = [];
  let below = 0;
  for (let u = 0; u <= 1; u += 1 / 400) {
    while (below < sorted.length && (sorted[below] as number) <= u) below++;
    dots.push(u, below / sorted.length);
  }
  return Float32Array.from(dots);
}

/** The diagonal, and the band that Kolmogorov's distance leaves in 95 of 100 cases. */
function diagonal(tests: number): Float32Array[] {
  const band = 1.36 / Math.sqrt(tests);
  return [0, -band, band].map((by) => Float32Array.of(0, by, 1, 1 + by));
}

/** Distribution functions of what is uniform on (0, 1) where a model is right: each of `all` has a number for every test. */
export const calibrationPanel = (title: string, tests: number, all: readonly Float64Array[]): Panel => ({
  title,
  points: { data: Float32Array.from(all.flatMap((own) => [...curve(own)])), dim: 2 },
  lines: diagonal(tests),
});
