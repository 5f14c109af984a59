import { invalid } from "../errors.ts";
import { withLastColumn } from "../flow/last-column.ts";
import { checkInteger, show } from "../options.ts";

/** Options of a call that takes shortcuts. */
export interface ShortcutSteps {
  solver: { method: "euler"; steps: number };
  /** That of the particles, if any, and the length of a step behind it, [count, context]. */
  context: Float32Array;
}

/**
 * Options of `sample` and `push` for a flow that was trained with `shortcut`: so many Euler steps, and their length, 1/steps, as the last
 * column of the context of each of `count` particles. They go from 0 to 1.
 *
 * @param context of the particles, [count, context], where the network has more than the length
 * @throws PushforwardError `invalid-argument` for counts and contexts that are none.
 * @example
 * import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
 * import { shortcutSteps } from "pushforward/few-steps";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [32, 32], context: 1 }) });
 * const options = { steps: 20, shortcut: { every: 4 } };
 * for await (const { loss } of trainFlowMatching(flow, toyData("moons", 1000), options)) console.log(loss);
 * const { x } = await flow.sample(100, shortcutSteps(100, 2));
 * gpu.dispose();
 */
export function shortcutSteps(count: number, steps: number, context?: Float32Array): ShortcutSteps {
  const what = "shortcutSteps";
  checkInteger(`${what}: count`, count, 0);
  checkInteger(`${what}: steps`, steps, 1);
  if (context !== undefined && (!(context instanceof Float32Array) || (count > 0 && context.length % count !== 0)))
    throw invalid(`${what}: context is ${show(context)}, but it is a Float32Array [${count}, context]`);
  const width = 1 + (context && count > 0 ? context.length / count : 0);
  return { solver: { method: "euler", steps }, context: withLastColumn(context, count, width, 1 / steps) };
}
