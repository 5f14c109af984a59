/** Bounds of {@link expectClose}: a value passes when |actual − expected| ≤ absolute + relative · |expected|. */
export interface Tolerance {
  relative?: number;
  absolute?: number;
}

/**
 * Throws unless every value is within the tolerance of its expected value; the message names the worst one.
 * Equal infinities match, and NaN matches only NaN.
 */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: Tolerance): void {
  const { relative = 0, absolute = 0 } = tolerance;
  if (actual.length !== expected.length) {
    throw new Error(`got ${actual.length} values, wanted ${expected.length}`);
  }
  let worst = -1;
  let worstExcess = 1;
  let outside = 0;
  for (let i = 0; i < actual.length; i++) {
    const got = Number(actual[i]);
    const wanted = Number(expected[i]);
    if (Object.is(got, wanted) || got === wanted) continue;
    const error = Math.abs(got - wanted);
    const allowed = absolute + relative * Math.abs(wanted);
    // Written so that NaN on either side counts as outside.
    if (error <= allowed && Number.isFinite(wanted)) continue;
    outside++;
    const excess = Number.isFinite(error / allowed) ? error / allowed : Number.POSITIVE_INFINITY;
    if (worst < 0 || excess > worstExcess) {
      worst = i;
      worstExcess = excess;
    }
  }
  if (worst < 0) return;
  const got = Number(actual[worst]);
  const wanted = Number(expected[worst]);
  const error = Math.abs(got - wanted);
  throw new Error(
    `${outside} of ${actual.length} values are outside the tolerance; the worst is at index ${worst}: got ${got}, wanted ${wanted} ` +
      `(absolute error ${error.toExponential(3)}, relative ${(error / Math.abs(wanted)).toExponential(3)}; ` +
      `allowed absolute ${absolute} + relative ${relative})`,
  );
}
