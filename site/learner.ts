// A flow that is being trained on what a visitor chose: play, pause, one step, anew.
import {
  Flow,
  fitNormalization,
  type Gpu,
  mlp,
  normalize,
  PushforwardError,
  residualMlp,
  type Solver,
  type TrainingStep,
  trainFlowMatching,
  trainMaximumLikelihood,
} from "pushforward";
import type { Settings } from "./settings.ts";
import type { Data } from "./targets.ts";

/** A figure at a step of the training. */
export interface Mark {
  readonly step: number;
  readonly value: number;
}

interface LearnerEvents {
  /** Steps were taken, or a figure is new. */
  progress(): void;
  /** Between two steps, now and then: what is shown may be brought up to date, and the training waits for it. */
  refresh(): Promise<void>;
  /** Training begins, rests or fails. */
  turn(error?: unknown): void;
}

/** Steps after which a training rests until it is told to go on: nobody's battery should be emptied. */
export const stepsInOneGo = { "flow-matching": 3000, likelihood: 300 };

/** Midpoint steps of the likelihoods that the page shows. */
export const likelihoodSolver = (isSoftware: boolean) => ({ method: "midpoint", steps: isSoftware ? 16 : 32 }) as const;

/** Frequencies of the Fourier features are normal numbers of this deviation, in waves per deviation of the data. */
export const featureScale = 0.5;

/** Of the uniform source, which is as wide as N(0, 1) in each direction. */
export const edge = Math.sqrt(3);

/** The flow of the settings, with its first weights. */
export function flowOf(gpu: Gpu, settings: Settings, data: Data): Flow {
  const { network, features, layers, width, source } = settings;
  const common = {
    dim: 2,
    ...(features > 0 && { features: { fourier: { count: features, scale: featureScale, seed: 1 } } }),
  };
  const normalization = fitNormalization(data.train, 2);
  return Flow.create(gpu, {
    velocity:
      network === "plain"
        ? mlp({ ...common, hidden: Array<number>(layers).fill(width) })
        : residualMlp({ ...common, width, blocks: layers }),
    ...(source === "uniform" && { source: { distribution: "uniform", low: [-edge, -edge], high: [edge, edge] } }),
    ...(data.start && { source: { samples: normalize(data.start.train, normalization) } }),
    normalization,
    seed: 1,
  });
}

/** The data with the rows that a flow of a file starts from, where these are not those of the page: its source may have a density or none. */
export async function ownStart(flow: Flow, data: Data): Promise<Data> {
  const [x = 0, y = 0] = data.heldOut;
  const solver = { method: "euler", steps: 1 } as const;
  try {
    await flow.logProb(Float32Array.of(x, y), { solver });
    return { ...data, start: undefined };
  } catch (error) {
    if (!(error instanceof PushforwardError && error.code === "unsupported")) throw error;
  }
  if (data.start) return data;
  const { x: rows } = await flow.sample(2000, { to: 0, solver });
  return { ...data, start: { train: rows, heldOut: rows }, entropy: undefined };
}

/** Rows of which all pairs are compared: at most 1,000, evenly spread. */
function someOf(rows: Float32Array): Float32Array {
  const every = Math.ceil(rows.length / 2 / 1000);
  return rows.filter((_, i) => (i >> 1) % every === 0);
}

/** Between two steps a lost device has the newest weights: the next step brings back those that the training keeps. */
function unlessLost(error: unknown): void {
  if (!(error instanceof PushforwardError && error.code === "device-lost")) throw error;
}

export class Learner {
  readonly flow: Flow;
  readonly data: Data;
  readonly losses: Mark[] = [];
  /** Of points that are not trained on: mean NLL or, where the source has no density, a distance. */
  readonly scores: Mark[] = [];
  step = 0;
  isPlaying = false;
  readonly #gpu: Gpu;
  readonly #settings: Settings;
  readonly #events: LearnerEvents;
  #steps: AsyncIterator<TrainingStep> | undefined;
  #turns: Promise<void> = Promise.resolve();
  #rest = 0;
  #isDisposed = false;
  #judgedAt = 0;
  #judging = 0;

  constructor(gpu: Gpu, flow: Flow, settings: Settings, data: Data, events: LearnerEvents) {
    this.#gpu = gpu;
    this.flow = flow;
    this.#settings = { ...settings };
    this.data = data;
    this.#events = events;
  }

  play(): void {
    if (this.isPlaying || this.#isDisposed) return;
    this.isPlaying = true;
    const go = stepsInOneGo[this.#settings.loss];
    this.#rest = Math.floor(this.step / go) * go + go;
    this.#events.turn();
    this.#inTurn(async () => {
      while (this.isPlaying && !this.#isDisposed) {
        await this.#advance();
        if (this.step >= this.#rest) this.isPlaying = false;
        if (this.isPlaying) await this.#events.refresh().catch(unlessLost);
      }
    });
  }

  pause(): void {
    this.isPlaying = false;
  }

  /** The few steps until the next loss is known. */
  stepOnce(): void {
    this.isPlaying = false;
    this.#inTurn(() => this.#advance());
  }

  /** Resolves when nothing is running any more. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    this.isPlaying = false;
    await this.#turns;
    await this.#steps?.return?.().catch(() => undefined);
    this.flow.dispose();
  }

  #inTurn(work: () => Promise<void>): void {
    this.#turns = this.#turns.then(async () => {
      if (this.#isDisposed) return;
      try {
        await work();
        await this.#keep();
        await this.judge();
        this.#events.turn();
      } catch (error) {
        this.isPlaying = false;
        this.#steps = undefined;
        if (!this.#isDisposed) this.#events.turn(error);
      }
      if (!this.#isDisposed) await this.#events.refresh().catch((error: unknown) => this.#events.turn(error));
    });
  }

  /** Has the weights on the host as well, so that a device that is lost while the training rests takes nothing with it. */
  async #keep(): Promise<void> {
    try {
      await this.flow.weights();
    } catch (error) {
      unlessLost(error);
      await this.#advance();
      await this.flow.weights();
    }
  }

  async #advance(): Promise<void> {
    this.#steps ??= this.#begin();
    const { value, done } = await this.#steps.next();
    if (done || this.#isDisposed) return;
    this.step = value.step;
    this.losses.push({ step: value.step, value: value.loss });
    const now = performance.now();
    // an eighth of the time at most goes into judging
    if (this.isPlaying && now - this.#judgedAt > 8 * this.#judging) await this.judge().catch(unlessLost);
    this.#events.progress();
  }

  /** A score of points that are not trained on, exact but for the solver's steps. */
  async judge(): Promise<void> {
    const begun = performance.now();
    const score = await this.#score(likelihoodSolver(this.#gpu.info.software));
    this.#judgedAt = performance.now();
    // the first one waited for kernels
    this.#judging = Math.min(1000, this.#judgedAt - begun);
    if (Number.isFinite(score)) this.scores.push({ step: this.step, value: score });
    this.#events.progress();
  }

  async #score(solver: Solver): Promise<number> {
    const { start, heldOut } = this.data;
    if (!start) return -(await this.flow.meanLogProb(heldOut, { solver })).mean;
    const { energyDistance } = await import("pushforward/diagnostics");
    const { normalization } = this.flow;
    const own = (rows: Float32Array) => (normalization ? normalize(someOf(rows), normalization) : someOf(rows));
    const { x } = await this.flow.push(own(start.heldOut), { solver });
    return energyDistance(x, own(heldOut), 2);
  }

  #begin(): AsyncIterator<TrainingStep> {
    const { loss, pairs, rate } = this.#settings;
    const { software } = this.#gpu.info;
    const common = {
      steps: 1_000_000,
      // large at first, then falling with the root of the step: a training may go on as long as somebody watches
      learningRate: (step: number) => (rate * Math.min(1, (step + 1) / 20)) / Math.sqrt(1 + step / 300),
      seed: 1,
    };
    if (loss === "likelihood")
      return trainMaximumLikelihood(this.flow, this.data.train, {
        ...common,
        batchSize: software ? 128 : 512,
        solver: { method: "midpoint", steps: 6 },
        logEvery: software ? 1 : 5,
      });
    return trainFlowMatching(this.flow, this.data.train, {
      ...common,
      batchSize: software ? 256 : 1024,
      coupling: pairs,
      logEvery: 10,
    });
  }
}
