/** From a simulator to a flow of its posteriors, and how good these are. */
import {
  Flow,
  fitNormalization,
  type Gpu,
  type MlpOptions,
  mlp,
  type Solver,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";
import {
  type C2st,
  type CalibrationCurve,
  c2st,
  expectedCoverage,
  type RankStatistics,
  samplePosteriors,
  simulationBasedCalibration,
  tarp,
} from "pushforward/diagnostics";
import type { Task } from "./posterior-tasks.ts";

export interface Budget {
  readonly simulations: number;
  readonly steps: number;
  readonly hidden: number[];
  readonly seed: number;
  /** Parameters that calibration is judged by, and draws of each posterior. */
  readonly tests: number;
  readonly draws: number;
  /** Observations whose posteriors are compared with the known ones, by so many draws of both. */
  readonly observations: number;
  readonly compared: number;
}

export const solver: Solver = { method: "midpoint", steps: 16 };

/** A network for narrow posteriors: waves of 0.5 to 8 rad per standard deviation come first. */
const fineStructure: Partial<MlpOptions> = {
  activation: "sin",
  initial: { first: { frequencies: [0.5, 8] }, hidden: 2, output: 0.1 },
};

/** A flow of θ given x, and the units in which it takes x. */
export interface Posterior {
  readonly flow: Flow;
  /** Observations as the flow's context. */
  context(observations: Float32Array): Float32Array;
}

/**
 * Simulates and trains: pairs of parameters and observations are all that is needed, no likelihood. Of a narrow posterior least squares of
 * velocities hardly see the width, which is worth nats to maximum likelihood: there a tenth of the steps goes to it, by the determinants of
 * the solver's steps, behind flow matching.
 */
export async function learnPosterior(
  gpu: Gpu,
  task: Task,
  { simulations, steps, hidden, seed }: Budget,
): Promise<Posterior> {
  const parameters = task.prior(simulations, seed);
  const observations = task.simulate(parameters, seed);
  const units = fitNormalization(observations, task.context);
  const context = (x: Float32Array) =>
    x.map((value, k) => (value - (units.mean[k % task.context] as number)) / (units.scale[k % task.context] as number));
  const isNarrow = task.isNarrow === true;
  const flow = Flow.create(gpu, {
    velocity: mlp({ dim: task.dim, hidden, context: task.context, ...(isNarrow && fineStructure) }),
    normalization: fitNormalization(parameters, task.dim),
    seed,
  });
  // one in twenty is not trained on: the flow ends with the weights that are best for these
  const kept = simulations - Math.ceil(simulations / 20);
  const [known, held] = [observations.subarray(0, kept * task.context), observations.subarray(kept * task.context)];
  const rows = parameters.subarray(0, kept * task.dim);
  const given = { context: context(known), seed };
  const validation = { data: parameters.subarray(kept * task.dim), context: context(held), keepBest: true };
  const matching = isNarrow ? Math.ceil(0.4 * steps) : steps;
  for await (const _ of trainFlowMatching(flow, rows, {
    ...given,
    validation: { ...validation, samples: 8192, every: Math.ceil(matching / 20) },
    steps: matching,
    batchSize: 1024,
    learningRate: { peak: 2e-3, schedule: "cosine", warmup: 0.02 },
    optimizer: "muon",
    ema: 0.99,
    time: "stratified",
    logEvery: matching,
  })) {
    // only the end counts here
  }
  const likelihood = Math.ceil(steps / 10);
  if (isNarrow)
    for await (const _ of trainMaximumLikelihood(flow, rows, {
      ...given,
      validation: { ...validation, every: Math.ceil(likelihood / 5) },
      steps: likelihood,
      batchSize: 256,
      objective: "discrete",
      solver: { method: "midpoint", steps: 4, warp: 1.5 },
      jitter: 0.4,
      rowOrder: "shuffled",
      learningRate: { peak: 1e-3, schedule: "cosine", warmup: 0.05 },
      optimizer: "muon",
      ema: 0.98,
      gradientClip: 1,
      logEvery: likelihood,
    })) {
      // only the end counts here
    }
  return { flow, context };
}

export interface Verdict {
  /** Ranks of each parameter among its draws, dimension by dimension. */
  readonly ranks: readonly RankStatistics[];
  readonly tarp: CalibrationCurve;
  /** Of regions of highest density. */
  readonly coverage: CalibrationCurve;
  /** Against draws of the known posterior, for each observation, by a network and by nearest neighbours: 0.5 is indistinguishable. */
  readonly c2st: readonly C2st[];
  readonly neighbours: readonly C2st[];
  /** Draws of the first observation: of the known posterior, and of the flow. */
  readonly known: Float32Array;
  readonly drawn: Float32Array;
}

/** Calibration over the prior, by simulations that were not trained on, and comparisons with the known posterior. */
export async function judgePosterior({ flow, context }: Posterior, task: Task, budget: Budget): Promise<Verdict> {
  const { seed, tests, draws, observations, compared } = budget;
  const parameters = task.prior(tests, seed + 1);
  const simulated = context(task.simulate(parameters, seed + 1));
  const { x, logProb: drawLogProb = new Float32Array(0) } = await samplePosteriors(flow, simulated, draws, {
    solver,
    seed,
    logProb: true,
  });
  const { logProb } = await flow.logProb(parameters, { context: simulated, solver });
  const [byNetwork, byNeighbours]: [C2st[], C2st[]] = [[], []];
  const pictures: Float32Array[] = [];
  const given = task.simulate(task.prior(observations, seed + 2), seed + 2);
  for (let i = 0; i < observations; i++) {
    const observation = given.subarray(i * task.context, (i + 1) * task.context);
    const known = task.reference(observation, compared, seed + 3 + i);
    const drawn = await samplePosteriors(flow, context(observation), compared, { solver, seed: seed + 3 + i });
    byNetwork.push(await c2st(known, drawn.x, task.dim, { seed }));
    byNeighbours.push(await c2st(known, drawn.x, task.dim, { seed, classifier: "neighbours" }));
    if (i === 0) pictures.push(known, drawn.x);
  }
  const [known = new Float32Array(0), drawn = new Float32Array(0)] = pictures;
  return {
    ranks: simulationBasedCalibration(parameters, x, task.dim, { seed }),
    tarp: tarp(parameters, x, task.dim, { seed }),
    coverage: expectedCoverage(logProb, drawLogProb, { seed }),
    c2st: byNetwork,
    neighbours: byNeighbours,
    known,
    drawn,
  };
}
