import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import type { Arena } from "../gpu/arena.ts";
import { mapCopy } from "../gpu/read.ts";
import { item } from "../must.ts";
import { checked } from "../options/schema.ts";
import { show } from "../options.ts";
import type { Pacer } from "../schedule/pacer.ts";
import { decodeCheckpoint, encodeCheckpoint, type TrainingState } from "./checkpoint.ts";
import type { Fingerprint } from "./fingerprint.ts";
import { checkpointFields } from "./later-fields.ts";
import type { RateOfStep } from "./learning-rate.ts";
import type { TrainingPlan } from "./plan.ts";

/** How a run starts where another stopped, and leaves what the next one needs. */
export interface Resuming {
  /** What the run starts from; without it, from the flow's weights at step 0. */
  readonly resumed: TrainingState | undefined;
  /** Whether a checkpoint follows this step, counted from 1, which may be the last one. */
  isDue(step: number, isLast: boolean): boolean;
  /** Reads the state after `step` steps, `sinceLog` of them after the last log. */
  read(arena: Arena, pacer: Pacer, o: Pick<TrainingState, "step" | "sinceLog" | "best">): Promise<TrainingState>;
  /** Hands a state over. */
  save(state: TrainingState): Promise<void>;
}

/** Checks `checkpoint` and `resume`, and what was given to resume from. Nothing has been changed when it throws. */
export async function resuming(
  what: string,
  flow: Flow,
  plan: TrainingPlan,
  rateOfStep: RateOfStep,
  fingerprint: () => Promise<Fingerprint>,
): Promise<Resuming> {
  const { checkpoint: given, resume } = plan.options;
  const name = `${what}: checkpoint`;
  const checkpoint = given && checked(name, checkpointFields, given, `${name}.`);
  const every = checkpoint?.every ?? 0;
  if (resume !== undefined && !(resume instanceof Uint8Array))
    throw invalid(`${what}: resume is ${show(resume)}, but it is the bytes of a checkpoint: pass a Uint8Array`);
  const settings = checkpoint || resume ? await fingerprint() : {};
  // a learning rate may be a function: its first and its last value stand for it
  const settingsAt = (step: number): Fingerprint => ({
    ...settings,
    "learningRate(0)": rateOfStep(0),
    [`learningRate(${step - 1})`]: rateOfStep(step - 1),
  });
  return {
    resumed: resume && (await decodeCheckpoint(what, flow, resume, plan.steps, settingsAt)),
    isDue: (step, isLast) => every > 0 && (step % every === 0 || isLast),
    async read(arena, pacer, known) {
      const names = ["loss", "parameters", "adam.m", "adam.v", ...(arena.has("average") ? ["average"] : [])];
      const wanted = names.map((name) => ({ name, bytes: name === "loss" ? 4 : flow.parameterCount * 4 }));
      const [loss, weights, first, second, average] = await readTogether(what, arena, pacer, wanted);
      if (!loss || !weights || !first || !second) throw new Error("as many arrays come back as were asked for");
      return { ...known, loss: item(loss, 0), weights, first, second, average };
    },
    async save(state) {
      await checkpoint?.save(await encodeCheckpoint(flow, plan.velocity, settingsAt(state.step), state), state.step);
    },
  };
}

/** Copies buffers to the host as they are at one moment: in one submit. */
export async function readTogether(
  what: string,
  arena: Arena,
  pacer: Pacer,
  wanted: readonly { readonly name: string; readonly bytes: number }[],
): Promise<Float32Array[]> {
  const { session } = arena;
  const staging: { readonly target: GPUBuffer; readonly name: string; readonly bytes: number }[] = [];
  try {
    for (const each of wanted)
      staging.push({ ...each, target: await session.buffers.acquire(each.bytes, "staging", "checkpoint") });
    await pacer.submit(arena, what, [], (encoder) => {
      for (const { name, target, bytes } of staging)
        encoder.copyBufferToBuffer(arena.buffer(name), 0, target, 0, bytes);
    });
    const read = () => Promise.all(staging.map(({ target, bytes }) => mapCopy(session, target, bytes)));
    return (await pacer.answer(read)).map((copy) => new Float32Array(copy));
  } finally {
    for (const { target } of staging) session.buffers.release(target);
  }
}
