import { callFields, seed } from "../flow/fields.ts";
import type { Flow } from "../flow/flow.ts";
import { checkFlow } from "../flow/given-flow.ts";
import type { CallOptions } from "../flow/options.ts";
import { must } from "../must.ts";
import { checked, integer, type Schema } from "../options/schema.ts";
import { checkInteger } from "../options.ts";

export interface StraightnessOptions extends Omit<CallOptions, "onProgress"> {
  /** Midpoint steps of the paths, of which each counts. Default 50. */
  steps?: number;
  /** Seed of the source particles. Default 0. */
  seed?: number;
}

/** How straight the paths of a flow are, in its own space. */
export interface Straightness {
  /** S = ∫ E|X_1 − X_0 − u_t(X_t)|² dt: 0 where one Euler step does what any solver does. */
  straightness: number;
  /** E|X_1 − X_0|²; S over it does not depend on the units. */
  displacement: number;
}

const fields = {
  labels: callFields.labels,
  context: callFields.context,
  guidance: callFields.guidance,
  chunkSize: callFields.chunkSize,
  signal: callFields.signal,
  steps: { check: integer(1, 4096), fallback: 50 },
  seed: { check: seed, fallback: 0 },
} satisfies Schema<StraightnessOptions>;

/**
 * How far the velocity along a path is from the straight line between its ends, on average (Liu et al. 2023): what reflow makes smaller.
 * Paths of `count` particles in midpoint steps; the integral is Simpson's, with the velocity where each step begins, in its middle (of a
 * straight piece) and where it ends.
 *
 * @throws PushforwardError `invalid-argument` for what is no flow, count or option; and as `Flow.push`.
 * @example
 * import { Flow, mlp, openGpu } from "pushforward";
 * import { straightness } from "pushforward/diagnostics";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [16] }) });
 * const { straightness: bends, displacement } = await straightness(flow, 500);
 * console.log(bends / displacement); // 0: straight
 * gpu.dispose();
 */
export async function straightness(
  flow: Flow,
  count: number,
  options: StraightnessOptions = {},
): Promise<Straightness> {
  const what = "straightness";
  checkFlow(what, flow);
  checkInteger(`${what}: count`, count, 1);
  const { steps, seed, ...call } = checked(what, fields, options);
  const solver = { method: "midpoint", steps } as const;
  const { x0 } = await flow.sample(count, { ...call, seed, solver: { method: "euler", steps: 1 } });
  const starts = must(x0, "where samples start");
  const { saved: all } = await flow.push(starts, { ...call, solver, saveAt: "steps" });
  const saved = must(all, "states of the steps");
  const size = starts.length;
  const state = (k: number) => saved.subarray(k * size, (k + 1) * size);
  const last = state(steps);
  const { chunkSize: _, ...evaluation } = call;
  let bends = 0;
  for (let k = 0; k <= 2 * steps; k++) {
    const [before, after] = [state(Math.floor(k / 2)), state(Math.ceil(k / 2))];
    const x = k % 2 === 0 ? before : before.map((value, i) => (value + (after[i] as number)) / 2);
    const u = await flow.velocity(x, k / (2 * steps), evaluation);
    const weight = (k === 0 || k === 2 * steps ? 1 : k % 2 === 1 ? 4 : 2) / (6 * steps);
    for (let i = 0; i < size; i++)
      bends += (weight * ((last[i] as number) - (starts[i] as number) - (u[i] as number)) ** 2) / count;
  }
  let displacement = 0;
  for (let i = 0; i < size; i++) displacement += ((last[i] as number) - (starts[i] as number)) ** 2 / count;
  return { straightness: bends, displacement };
}
