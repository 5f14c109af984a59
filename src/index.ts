export { bitsPerDim } from "./data/bits-per-dim.ts";
export { fitNormalization } from "./data/normalization.ts";
export { type ToyName, toyData, toyNames } from "./data/toy.ts";
export type { AxisTransform, Transform } from "./data/transform.ts";
export { normalize } from "./data/units.ts";
export { PushforwardError, type PushforwardErrorCode } from "./errors.ts";
export type { Cells } from "./flow/cells.ts";
export type { DensityGrid } from "./flow/density.ts";
export { Flow } from "./flow/flow.ts";
export type {
  CallOptions,
  ContinuityOptions,
  DensityGridOptions,
  Divergence,
  EvaluationOptions,
  HistogramOptions,
  LogProbOptions,
  MomentOptions,
  Objective,
  Output,
  Precision,
  PushOptions,
  ReductionOptions,
  SampleOptions,
  SampleOutput,
  ScoreField,
  SolveOptions,
  StochasticOptions,
} from "./flow/options.ts";
export type { Histogram, MeanLogProb, Moments } from "./flow/reductions.ts";
export {
  type DoubleSamples,
  type LogProb,
  type ResidentLogProb,
  type ResidentSamples,
  type ResidentTrajectory,
  type Samples,
  type StepCounts,
  solveStatus,
  type Trajectory,
} from "./flow/results.ts";
export type { DataUnitRows, Rows } from "./flow/rows.ts";
export type { FlowOptions } from "./flow/shape.ts";
export type { Normalization, Source } from "./flow/source.ts";
export type { StreamChunk, StreamChunks } from "./flow/streams.ts";
export type { ContinuityReport, Flux } from "./flow/theory.ts";
export type { GpuInfo, GpuOptions } from "./gpu/adapter.ts";
export { type Gpu, openGpu } from "./gpu/gpu.ts";
export { decodeSafetensors, encodeSafetensors } from "./io/safetensors.ts";
export * from "./network/builder.ts";
export { type CircleOptions, type CircularAxes, circle } from "./network/circle.ts";
export { type ConcatSquashOptions, concatSquash } from "./network/concat-squash.ts";
export { type MlpInitial, type MlpOptions, type MlpVelocity, mlp } from "./network/mlp.ts";
export {
  type NetworkInputs,
  type NetworkOptions,
  type NetworkVelocity,
  type Node,
  network,
} from "./network/network.ts";
export type { Activation } from "./network/operations/activate.ts";
export type { LayerInitial } from "./network/operations/linear.ts";
export { type ResidualMlpOptions, residualMlp } from "./network/residual-mlp.ts";
export type { Solver } from "./ode/grid.ts";
export type { Path, PathName } from "./path/names.ts";
export type { Progress, RunOptions } from "./schedule/job.ts";
export type { Tableau } from "./solvers/tableau.ts";
export type { ExactTransport, GivenPairs, OptimalTransport, SinkhornTransport } from "./train/coupling-options.ts";
export {
  fitMixture,
  flowMatchingGradients,
  likelihoodGradients,
  logProbGradient,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "./train/entry.ts";
export type { Mixture, MixtureFitOptions } from "./train/fit-mixture.ts";
export type {
  FlowMatchingBatch,
  FlowMatchingOptions,
  Shortcut,
  SourceBatches,
  TimeDistribution,
} from "./train/flow-matching-options.ts";
export type {
  LikelihoodGradientOptions,
  LogProbGradient,
  LogProbGradientOptions,
  MaximumLikelihoodOptions,
} from "./train/likelihood-options.ts";
export type {
  AdamOptimizer,
  LearningRate,
  LearningRateSchedule,
  MuonOptimizer,
  Optimizer,
} from "./train/optimizer-options.ts";
export type {
  CheckpointOptions,
  GradientOptions,
  NeighbourNoise,
  TrainingOptions,
  ValidationOptions,
} from "./train/options.ts";
export type { TrainingStep } from "./train/task.ts";
export { type WgslVelocity, type WgslVelocityOptions, wgslVelocity } from "./velocity/wgsl.ts";
