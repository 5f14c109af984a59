// The entry "pushforward/diagnostics", for browsers, Deno and Node.
export { type C2st, type C2stOptions, c2st } from "./c2st.ts";
export { expectedCoverage, simulationBasedCalibration, type TarpOptions, tarp } from "./calibration.ts";
export { type CompareSolversOptions, compareSolvers, type SolverComparison } from "./compare-solvers.ts";
export { energyDistance, type MmdOptions, mmd } from "./kernel-distances.ts";
export { type Pit, pit } from "./pit.ts";
export { samplePosteriors } from "./posteriors.ts";
export type { CalibrationCurve, CurveOptions, RankOptions, RankStatistics } from "./ranks.ts";
export type { SampleRows } from "./rows.ts";
export { type Straightness, type StraightnessOptions, straightness } from "./straightness.ts";
export { type Coverage, coverage, type Uniformity, type UniformityOptions, uniformity } from "./uniformity.ts";
export { optimalPairs, type SlicedWassersteinOptions, slicedWasserstein, wasserstein2 } from "./wasserstein.ts";
