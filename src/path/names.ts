/**
 * An affine path x_t = α_t x_1 + σ_t x_0 from the source (t = 0) to the data (t = 1), with the derivatives of α and σ: the velocity of a
 * pair is α̇_t x_1 + σ̇_t x_0 (Lipman et al. 2024, §4.8; "scheduler" there).
 */
export interface Path {
  alpha(t: number): number;
  sigma(t: number): number;
  dAlpha(t: number): number;
  dSigma(t: number): number;
}

/** The paths that have a name; the first is the default. */
export const pathNames = [
  "conditional-optimal-transport",
  "cosine",
  "linear-variance-preserving",
  "variance-preserving",
] as const;

export type PathName = (typeof pathNames)[number];
