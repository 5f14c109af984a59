import { rowsOfData } from "../data/transform-maps.ts";
import type { Flow } from "../flow/flow.ts";
import { type PairOptions, samplesOf } from "./samples.ts";

/** The coupling (Z_0, Z_1) of a flow, as `trainFlowMatching` takes it: `trainFlowMatching(student, data, { ...pairs, steps })`. */
export interface ReflowPairs {
  /** Z_1: samples of the flow, [count, dim], in data units. */
  data: Float64Array;
  /**
   * Z_0: where each of them started, [count, dim], as rows in data units as well: mean + scale·x_0 with a normalization, and in the space of a
   * transform. A student with the same normalization and transform as its teacher has exactly the teacher's source of them, to f32.
   */
  source: Float64Array;
  coupling: "paired";
  labels?: Uint32Array;
  context?: Float32Array;
}

/**
 * Pairs for reflow (Liu et al. 2023): `count` samples of a trained flow and where they started. A flow that is trained on these pairs
 * has the same marginals at either end and straighter paths, so that fewer steps of a solver do; once more with pairs of that flow makes
 * them straighter still. What the solver errs by here is learned, so let it be fine. Chunks keep to the memory budget of the device;
 * the pairs themselves are on the host.
 *
 * @throws PushforwardError `invalid-argument` for what is no flow or option, and where samples are not finite or did not end; and as
 * `Flow.sample`.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * import { reflowPairs } from "pushforward/few-steps";
 * const gpu = await openGpu();
 * const start = () => Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32] }) });
 * const [teacher, student] = [start(), start()];
 * for await (const { loss } of trainFlowMatching(teacher, toyData("moons", 1000), { steps: 20 })) console.log(loss);
 * student.setWeights(await teacher.weights()); // a head start
 * const { data, ...pairs } = await reflowPairs(teacher, 1000, { solver: { method: "rk4", steps: 20 } });
 * for await (const { loss } of trainFlowMatching(student, data, { ...pairs, steps: 20 })) console.log(loss);
 * const { x } = await student.sample(100, { solver: { method: "euler", steps: 2 } });
 * gpu.dispose();
 */
export async function reflowPairs(flow: Flow, count: number, options: PairOptions = {}): Promise<ReflowPairs> {
  const samples = await samplesOf("reflowPairs", flow, count, options);
  return {
    data: samples.x,
    source: rowsOfData(samples.x0, flow),
    coupling: "paired",
    ...samples.conditions,
  };
}
