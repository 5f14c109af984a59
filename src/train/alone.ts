import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";

/**
 * Runs a training as the only one of its flow: a second one would change the same weights in between, and what both end with would
 * be of neither. The flow is free again when `steps` has ended, however it ends; an abort alone is no end yet.
 *
 * @throws PushforwardError `invalid-argument` while another training of the flow runs.
 */
export async function* trainAlone<T>(
  flow: Flow,
  what: string,
  steps: () => AsyncGenerator<T, undefined>,
): AsyncGenerator<T, undefined> {
  const { parameters } = flow;
  const running = parameters.trainedBy;
  if (running !== undefined)
    throw invalid(
      `${what}: this flow is being trained already (${running}), and two trainings would change the same weights: wait until the loop over the first one has ended (break, an abort and the iterator's return() end it), or train a second Flow`,
    );
  parameters.trainedBy = what;
  try {
    return yield* steps();
  } finally {
    parameters.trainedBy = undefined;
  }
}

/**
 * The result of `work`, which reads the flow's weights more than once.
 *
 * @throws PushforwardError `invalid-argument` where they were changed meanwhile, so that it is of no one set of weights.
 */
export async function ofSteadyWeights<T>({ parameters }: Flow, what: string, work: () => Promise<T>): Promise<T> {
  const { version } = parameters;
  const result = await work();
  if (parameters.version === version) return result;
  throw invalid(
    `${what}: the flow's weights changed while the call ran${parameters.trainedBy === undefined ? "" : `, since ${parameters.trainedBy} trains it`}: call it between two steps of the training, and wait for it before weights are set`,
  );
}
