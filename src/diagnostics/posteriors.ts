import { invalid } from "../errors.ts";
import { sampleFields } from "../flow/fields.ts";
import type { Flow } from "../flow/flow.ts";
import type { SampleOptions } from "../flow/options.ts";
import type { Samples } from "../flow/results.ts";
import { hostArray } from "../host-array.ts";
import { without } from "../options/part.ts";
import { checkInteger, checkKeys } from "../options.ts";
import { checkRows } from "./rows.ts";

const known = Object.keys(without(sampleFields, "output", "saveAt", "context", "to"));

/**
 * Draws from the posterior of each of n observations, by a flow with context that was trained on pairs of parameters (its data) and
 * simulated observations (their context). Draw j of observation i is particle i·count + j: it depends on these and the seed alone.
 *
 * @param observations row-major [n, context]
 * @param count draws of each
 * @param options those of `Flow.sample`: the solver, the seed, `logProb`, …
 * @returns x is [n, count, dim] in data units, and logProb, where it is wanted, [n, count]
 * @throws PushforwardError `invalid-argument` for a flow without context and observations that do not fit, and as `Flow.sample`.
 * @example
 * import { Flow, mlp, openGpu } from "pushforward";
 * import { samplePosteriors } from "pushforward/diagnostics";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [16], context: 3 }) });
 * const solver = { method: "midpoint", steps: 10 } as const;
 * const { x } = await samplePosteriors(flow, Float32Array.of(1, 0, 0, 0, 1, 0), 50, { solver }); // [2, 50, 2]
 * gpu.dispose();
 */
export async function samplePosteriors(
  flow: Flow,
  observations: Float32Array,
  count: number,
  options: Omit<SampleOptions, "output" | "saveAt" | "context" | "to"> = {},
): Promise<Samples> {
  const what = "samplePosteriors";
  const velocity = flow?.velocitySpec;
  const width = velocity && "context" in velocity ? velocity.context : 0;
  if (!(width > 0))
    throw invalid(
      `${what}: the first argument is no flow with context: create one of mlp({ …, context }) or network({ …, context })`,
    );
  checkKeys(what, options, known);
  const { rows, count: n } = checkRows(`${what}: observations`, observations, width);
  checkInteger(`${what}: count`, count, 1);
  const context = hostArray(
    Float32Array,
    rows.length * count,
    `${what}: ${n * count} draws`,
    "draw for fewer observations at a time",
  );
  for (let i = 0; i < n; i++)
    for (let j = 0; j < count; j++) context.set(rows.subarray(i * width, (i + 1) * width), (i * count + j) * width);
  return flow.sample(n * count, { ...options, context });
}
