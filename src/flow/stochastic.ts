import { planStochasticStep, type StochasticStage, type StochasticStep } from "../../shaders/stochastic.ts";
import { invalid } from "../errors.ts";
import type { Dispatch, PlannedBuffer, Shared } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import { type Chunk, type Conditions, conditionsAt, type Engine, type Integration, names } from "../ode/engine.ts";
import type { TimeGrid } from "../ode/grid.ts";
import type { Path } from "../path/names.ts";
import { seedKey, streams } from "../random/philox.ts";
import { checkNoise } from "./noise.ts";
import type { StochasticOptions } from "./options.ts";
import type { FlowOnDevice } from "./shape.ts";
import { sourceName } from "./states.ts";
import type { TrajectoryRequest } from "./trajectory.ts";

/*
 * Solves with noise: dx = (u + ½ g² ∇log p) dt + g dW, whose particles have the densities p_t of the flow whatever g is (Song et al. 2021,
 * §4.3; Albergo et al. 2023, §2; docs/mathematics.md, Paths with noise). The field is evaluated once a stage, and a kernel of
 * shaders/stochastic.ts takes the step.
 */

/** What a solve with noise has in place of an integration. */
export interface Stochastic {
  readonly integration: Integration;
  /** Floats and operations of a particle. */
  readonly floats: number;
  readonly flops: number;
  buffers(chunk: Chunk): PlannedBuffer[];
  begin(chunk: Chunk): Dispatch[];
  /** Steps `from` … `to` − 1 of particles `first`, `first` + 1, … */
  steps(chunk: Chunk, first: number, from: number, to: number): Dispatch[];
  /** The packed weights of the score beside those of the velocity. */
  shared(session: Session, own: Shared): Promise<Shared>;
}

/**
 * Checks the option `sde`. Without any noise the solve is the ODE's, to the bit: nothing then.
 *
 * @throws PushforwardError `invalid-argument`, `unsupported` for a source of which the velocity does not tell the score.
 */
export async function stochasticSolve(
  engine: Engine,
  request: TrajectoryRequest,
  given: StochasticOptions,
): Promise<Stochastic | undefined> {
  const { what, grid } = request;
  const { amounts, path, score } = checkNoise(request, engine.dim, given);
  if (amounts.every((g) => g === 0)) return undefined;
  const field = await (score as FlowOnDevice | undefined)?.forwardEngine();
  return planned(engine, field, request, grid, stepsOf(what, grid, amounts, path));
}

/** The evaluations of a step and what follows each. */
type Step = readonly (StochasticStep & { readonly stage: StochasticStage; readonly t: number })[];

/** The stages of all steps. With a path the score is made of the velocity, which at σ = 0 cannot be: steps that end there have no corrector. */
function stepsOf(
  what: string,
  { tableau, times }: TimeGrid,
  amounts: readonly number[],
  path: Path | undefined,
): Step[] {
  const direction = Math.sign(item(times, times.length - 1) - item(times, 0));
  const driftAt = (k: number) => {
    const q = (direction / 2) * item(amounts, k) ** 2;
    const { ax, au, am } = q === 0 || !path ? { ax: 0, au: 0, am: 0 } : scoreOfVelocity(path, item(times, k));
    return { q, ax, au, am };
  };
  const isDefined = ({ ax, au, am }: ReturnType<typeof driftAt>) => [ax, au, am].every(Number.isFinite);
  return Array.from({ length: times.length - 1 }, (_, k) => {
    const [t, next] = [item(times, k), item(times, k + 1)];
    const [g, after] = [item(amounts, k), item(amounts, k + 1)];
    const h = next - t;
    const root = Math.sqrt(Math.abs(h));
    const [begin, end] = [driftAt(k), driftAt(k + 1)];
    if (!isDefined(begin))
      throw invalid(
        `${what}: at t = ${t} the velocity does not tell the score, but sde.diffusion is ${g} there: begin elsewhere, or pass a diffusion that is 0 at ${t}`,
      );
    const first = { ...begin, h, next, t, noise: g * root };
    if (tableau.name === "euler" || !isDefined(end)) return [{ ...first, stage: "euler" }];
    return [
      { ...first, stage: "predict" },
      { ...end, h, next, t: next, noise: ((g + after) / 2) * root, stage: "correct" },
    ];
  });
}

/** s = (ax·x + au·u + am·mean)/std² of the velocity, for a Gaussian source: −(x̂_0 − mean)/(σ std²) (Lipman et al. 2024, table 1). */
function scoreOfVelocity(path: Path, t: number) {
  const [a, s, da, ds] = [path.alpha(t), path.sigma(t), path.dAlpha(t), path.dSigma(t)];
  const sD = s * (da * s - ds * a);
  return { ax: -da / sD, au: a / sD, am: 1 / s };
}

/** Buffers of a second field are called by its name, but for the states and times that both are asked at. */
const ofScore = (name: string) => (name === names.state || name === names.times ? name : `score ${name}`);
const starts = "stochastic starts";
const drifts = "stochastic drifts";
const none = { mode: "none" } as const;

function planned(
  engine: Engine,
  score: Engine | undefined,
  { conditions, seed }: TrajectoryRequest,
  { times }: TimeGrid,
  steps: readonly Step[],
): Stochastic {
  const { dim } = engine;
  const key = seedKey(seed);
  const own: Conditions = { ...conditions, guidance: 1, isMixed: false };
  const renamed = (dispatches: Dispatch[]) =>
    dispatches.map((dispatch) => ({
      ...dispatch,
      buffers: Object.fromEntries(Object.entries(dispatch.buffers).map(([name, of]) => [name, ofScore(of)])),
    }));
  const stages = steps.reduce((sum, { length }) => sum + length, 0);
  return {
    integration: { stages: 0, freeStages: false, schedule: new Float32Array(4), divergence: none },
    floats: 4 * dim + 1 + (score ? dim + score.scratchFloats(none, 0) : 0),
    flops: stages * (engine.flops + (score?.flops ?? 0) + 70 * dim),
    buffers(chunk) {
      const row = chunk.capacity * 4;
      const rows = (name: string) => ({ name, bytes: dim * row });
      const other = score?.buffers(chunk, own, none, 0).filter(({ name }) => ofScore(name) !== name) ?? [];
      return [
        { name: names.times, bytes: row, data: new Float32Array(chunk.capacity).fill(item(times, 0)) },
        ...[names.velocity, starts, drifts].map((name) => rows(name)),
        ...(score ? [rows(ofScore(names.velocity)), ...other.map((b) => ({ ...b, name: ofScore(b.name) }))] : []),
      ];
    },
    begin: (chunk) => (score ? renamed(score.begin(chunk, own)) : []),
    steps(chunk, first, from, to) {
      const { capacity } = chunk;
      const blocks = Math.ceil(dim / 4);
      const evaluate = (t: number) => [
        ...engine.evaluate(chunk, conditionsAt(conditions, t), "velocity", none),
        ...(score ? renamed(score.evaluate(chunk, own, "velocity", none)) : []),
      ];
      return steps.slice(from, to).flatMap((step, k) =>
        step.flatMap(({ stage, t, ...numbers }) => [
          ...evaluate(t),
          planStochasticStep({
            shape: { stage, score: score !== undefined },
            ...{ capacity, dim, first, key, stream: streams.diffusion },
            firstDraw: (from + k) * blocks,
            step: numbers,
            names: {
              state: names.state,
              velocity: names.velocity,
              score: ofScore(names.velocity),
              source: sourceName,
              times: names.times,
              starts,
              drifts,
            },
          }),
        ]),
      );
    },
    async shared(session, velocity) {
      if (!score) return velocity;
      const { buffers, release } = await score.shared(session).catch((error) => {
        velocity.release();
        throw error;
      });
      const both = new Map([...velocity.buffers, ...Array.from(buffers, ([name, of]) => [ofScore(name), of] as const)]);
      return {
        ...velocity,
        buffers: both,
        release() {
          velocity.release();
          release();
        },
      };
    },
  };
}
