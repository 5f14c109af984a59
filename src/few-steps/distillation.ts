import { repeated } from "../arrays.ts";
import type { Flow } from "../flow/flow.ts";
import { must } from "../must.ts";
import { checkInteger } from "../options.ts";
import { type PairOptions, samplesOf } from "./samples.ts";

export interface DistillationOptions extends PairOptions {
  /** N: Euler steps that the student is to take in place of the teacher's solver. Default 1. */
  steps?: number;
}

/** Steps of a flow, as `trainFlowMatching` takes them: `trainFlowMatching(student, data, { ...pairs, steps })`. */
export interface DistillationPairs {
  /** Where the particles are after each step, [steps·count, dim], step by step, in data units. */
  data: Float64Array;
  /** Where they are before it. */
  source: Float64Array;
  /** With the times of the steps. */
  coupling: { method: "paired"; from: Float32Array; to: Float32Array };
  labels?: Uint32Array;
  context?: Float32Array;
}

/**
 * Pairs for distillation to N steps: `count` paths of a teacher, cut at the times 0, 1/N, …, 1. A student that is trained on them learns the
 * teacher's mean velocity over each piece, at the times where Euler's steps begin and nowhere else, so that `{ method: "euler", steps: N }` goes
 * where the teacher's solver does. With one step it is the distillation of rectified flow (Liu et al. 2023), which is
 * meant for a teacher that reflow has made straight: paths that are bent are hard to learn in one piece.
 *
 * The teacher's solver is `solver`, by default midpoint with 64 steps or the next multiple of N: every piece ends at one of its times.
 *
 * @throws PushforwardError as `reflowPairs`, and for a solver that has no times at the ends of the pieces.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * import { distillationPairs } from "pushforward/few-steps";
 * const gpu = await openGpu();
 * const start = () => Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const [teacher, student] = [start(), start()];
 * for await (const { loss } of trainFlowMatching(teacher, toyData("moons", 1000), { steps: 20 })) console.log(loss);
 * const { data, ...pairs } = await distillationPairs(teacher, 1000, { steps: 2 });
 * for await (const { loss } of trainFlowMatching(student, data, { ...pairs, steps: 20 })) console.log(loss);
 * const { x } = await student.sample(100, { solver: { method: "euler", steps: 2 } });
 * gpu.dispose();
 */
export async function distillationPairs(
  flow: Flow,
  count: number,
  options: DistillationOptions = {},
): Promise<DistillationPairs> {
  const what = "distillationPairs";
  const { steps: given = 1, ...rest } = options;
  const steps = checkInteger(`${what}: steps`, given, 1, 1024);
  const own = { solver: { method: "midpoint", steps: steps * Math.ceil(64 / steps) } as const, ...rest };
  const times = Array.from({ length: steps + 1 }, (_, k) => k / steps);
  const samples = await samplesOf(what, flow, count, own, times);
  const saved = must(samples.saved, "states at the times of the steps");
  const piece = count * flow.dim;
  const at = (offset: number) =>
    Float32Array.from({ length: steps * count }, (_, i) => must(times[Math.floor(i / count) + offset], "a time"));
  const { labels, context } = samples.conditions;
  return {
    data: saved.slice(piece),
    source: saved.slice(0, steps * piece),
    coupling: { method: "paired", from: at(0), to: at(1) },
    ...(labels && { labels: repeated(labels, steps) }),
    ...(context && { context: repeated(context, steps) }),
  };
}
