import {
  Flow,
  type FlowMatchingOptions,
  fitNormalization,
  type Gpu,
  mlp,
  type ToyName,
  toyData,
  trainFlowMatching,
} from "pushforward";
import { c2st, straightness, wasserstein2 } from "pushforward/diagnostics";
import { distillationPairs, reflowPairs, shortcutSteps } from "pushforward/few-steps";

/*
 * The flows that `npm run few-steps` compares: networks of one size, trained with the same steps unless it is said otherwise.
 */

export interface Budget {
  /** Optimiser steps of a training; a student by distillation takes half as many. */
  steps: number;
  batchSize: number;
  /** Pairs that a flow makes for the next one. */
  pairs: number;
  /** Samples that are judged. */
  points: number;
  seed: number;
}

interface Score {
  wasserstein: number;
  accuracy: number;
}

export interface Row {
  method: string;
  /** Straightness over displacement. */
  bends?: number | undefined;
  /** At each of {@link evaluations}. */
  scores: (Score | undefined)[];
  /** Of its own training, pairs included. */
  seconds: number;
}

/** Velocity evaluations, which are Euler steps. */
export const evaluations = [1, 2, 4, 8, 16, 50];

/** What the teachers of pairs are solved by. */
const fine = { method: "midpoint", steps: 32 } as const;

async function judge(x: Float32Array, fresh: Float32Array): Promise<Score> {
  const { accuracy } = await c2st(fresh, x, 2, { classifier: "neighbours" });
  return { wasserstein: await wasserstein2(x, fresh, 2), accuracy };
}

/** Two sets of fresh points against each other. */
export async function floorOf(name: ToyName, { points, seed }: Budget): Promise<Score> {
  return judge(toyData(name, points, seed + 200), toyData(name, points, seed + 100));
}

/** Trains the flows on one set, one after the other, and judges each. */
export async function* few(gpu: Gpu, name: ToyName, budget: Budget): AsyncGenerator<Row, undefined> {
  const { steps, batchSize, points, seed, pairs: count } = budget;
  const data = toyData(name, 50_000, seed);
  const fresh = toyData(name, points, seed + 100);
  const normalization = fitNormalization(data, 2);
  const create = (context = 0) =>
    Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64], context }), normalization, seed });
  const common = { batchSize, learningRate: { peak: 2e-3, schedule: "cosine" }, ema: 0.995, seed } as const;

  async function trained(flow: Flow, rows: Float32Array | Float64Array, own: Partial<FlowMatchingOptions> = {}) {
    const options = { ...common, steps, logEvery: steps, ...own };
    for await (const { step, loss } of trainFlowMatching(flow, rows, options))
      console.error(`${name}: step ${step}, loss ${loss.toFixed(3)}`);
  }
  async function row(method: string, flow: Flow, own: number[], began: number, context?: "length"): Promise<Row> {
    const seconds = (performance.now() - began) / 1000;
    const scores: Row["scores"] = [];
    for (const nfe of evaluations) {
      const euler = { solver: { method: "euler", steps: nfe } } as const;
      const call = context ? shortcutSteps(points, nfe) : euler;
      scores.push(own.includes(nfe) ? await judge((await flow.sample(points, { ...call, seed })).x, fresh) : undefined);
    }
    const isFlow = !context && own.length > 1;
    const bends = isFlow ? await straightness(flow, points) : undefined;
    return { method, bends: bends && bends.straightness / bends.displacement, scores, seconds };
  }
  /** A flow with the weights of another one. */
  async function after(teacher: Flow): Promise<Flow> {
    const flow = create();
    flow.setWeights(await teacher.weights());
    return flow;
  }
  /** A flow that is trained on the pairs of another one. */
  async function reflowed(teacher: Flow): Promise<Flow> {
    const student = await after(teacher);
    const { data: ends, ...pairs } = await reflowPairs(teacher, count, { solver: fine, seed: seed + 1 });
    await trained(student, ends, pairs);
    return student;
  }

  let began = performance.now();
  const independent = create();
  await trained(independent, data);
  yield row("independent pairs", independent, evaluations, began);

  began = performance.now();
  const transported = create();
  await trained(transported, data, { coupling: { method: "exact", group: 256 } });
  yield row("optimal-transport pairs", transported, evaluations, began);

  began = performance.now();
  const once = await reflowed(independent);
  yield row("reflow of the first", once, evaluations, began);

  began = performance.now();
  const twice = await reflowed(once);
  yield row("reflow of that", twice, evaluations, began);

  const students: Flow[] = [];
  for (const pieces of [1, 2, 4]) {
    began = performance.now();
    const student = await after(twice);
    students.push(student);
    const own = { solver: fine, steps: pieces, seed: seed + 2 };
    const { data: ends, ...pairs } = await distillationPairs(twice, Math.ceil(count / pieces), own);
    await trained(student, ends, { ...pairs, steps: Math.ceil(steps / 2) });
    yield row(`that distilled to ${pieces}`, student, [pieces], began);
  }

  began = performance.now();
  const short = create(1);
  await trained(short, data, { shortcut: {} });
  yield row("shortcuts", short, evaluations, began, "length");

  for (const flow of [independent, transported, once, twice, ...students, short]) flow.dispose();
}
