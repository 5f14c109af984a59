import { PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { Arena } from "../gpu/arena.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import { mapCopy } from "../gpu/read.ts";
import type { Session } from "../gpu/session.ts";
import { item } from "../must.ts";
import type { ParameterTensor } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import { budgetOf } from "../schedule/memory.ts";
import { flopsPerDispatch, Pacer } from "../schedule/pacer.ts";
import { type Best, judged } from "./best.ts";
import { allocateAll, planPackings } from "./buffers.ts";
import type { TrainingState } from "./checkpoint.ts";
import { trainingSpeed } from "./gradient-result.ts";
import type { RateOfStep } from "./learning-rate.ts";
import { optimizerPlan } from "./optimizer.ts";
import { optimizerSettings } from "./optimizer-settings.ts";
import type { TrainingPlan } from "./plan.ts";
import { type Resuming, readTogether } from "./resuming.ts";
import { partsOf, stepping } from "./stepping.ts";
import type { TrainingStep, TrainingTask, Validator } from "./task.ts";
import type { TrainingProgress } from "./training-progress.ts";
import type { Judging } from "./validation.ts";

/** What of a training outlives the device that it runs on. */
export interface Kept {
  /** The last state on the host; none before the first step of a fresh start. */
  state: TrainingState | undefined;
  /** Whether the flow's weights are not those of that state. */
  isBehind: boolean;
  /** Steps that a device has taken: more than `state.step` when it was lost. */
  trained: number;
  /** Steps up to which the caller knows the loss, and has a checkpoint. */
  told: number;
  saved: number;
  /** What the validation data have said. */
  best: Best | undefined;
}

/** What the run on one device is given by the whole training. */
interface Course {
  readonly kept: Kept;
  readonly rate: RateOfStep;
  readonly frozen: readonly ParameterTensor[];
  readonly resumable: Resuming;
  readonly judging: Judging;
  /** The task of batches in so many parts. */
  readonly makeTask: (parts: number) => TrainingTask;
  readonly progress: TrainingProgress;
}

/** A state is read back about this often, so that little is done twice after a loss. */
const millisecondsBetweenStates = 2000;

/**
 * The steps of a training on one device, from the state that is kept: batch, gradient, Adam, moving average, step after step; only the
 * logged losses come back, and a state now and then. What was told before is not told again.
 */
export async function* trainOn(
  session: Session,
  flow: Flow,
  plan: TrainingPlan,
  task: TrainingTask,
  { kept, rate, frozen, resumable, judging, progress, makeTask }: Course,
): AsyncGenerator<TrainingStep, undefined> {
  const { parameters } = flow;
  const { velocity, batchSize, options } = plan;
  const { what, backward } = task;
  const parts = partsOf(plan);
  const network = networkOf(velocity);
  const count = network.parameterCount;
  const zeros = new Float32Array(count);
  const optimizer = await optimizerPlan(
    what,
    network,
    optimizerSettings(what, options),
    frozen,
    flow.gpu.info.software,
    { segments: backward.copies(task.capacity), parts, packings: backward.packings },
  );
  const averages = options.ema !== undefined;
  if (kept.state && kept.isBehind) parameters.setFlat(kept.state.weights);
  kept.isBehind = false;
  const start = kept.state ?? freshState(await parameters.host(), zeros, averages);
  kept.state = start;
  const arena = new Arena(session);
  const speed = trainingSpeed(session, what, velocity);
  const pacer = new Pacer(session, speed, options.signal, progress.sign);
  let flat: { buffer: GPUBuffer; release(): void } | undefined;
  let staging: GPUBuffer | undefined;
  let giveBack: (() => void) | undefined;
  let validator: Validator | undefined;
  let trained = start.step;
  /** What the flow ends with where the device's weights are lost. */
  let lastGood: Float32Array | undefined;
  const lost = async (loss: number, steps: number, done: number) => {
    const { step, weights, average } = kept.state ?? start;
    lastGood = (averages && average) || weights;
    const { lostLoss } = await import("./seldom.ts");
    return lostLoss({
      what,
      loss,
      steps,
      done,
      kept: kept.best?.weights ? { step: kept.best.step, isBest: true } : { step, isBest: false },
      learningRate: rate,
      flow,
      data: task.data,
      context: options.context,
      weights: start.weights,
      firstStep: start.step,
    });
  };
  const meanLoss = async (sum: number, steps: number, done: number): Promise<number> => {
    const loss = sum / Math.max(1, steps * parts);
    if (Number.isFinite(loss)) return loss;
    throw await lost(loss, steps, done);
  };
  /** Gives the flow what it has in the end, on the host as well: a device that is lost later takes nothing with it. */
  const hand = async () => {
    const own = kept.best?.weights ?? lastGood;
    if (own) return parameters.setFlat(own);
    if (averages && trained > 0) {
      const encoder = session.device.createCommandEncoder();
      encoder.copyBufferToBuffer(arena.buffer("average"), 0, arena.buffer("parameters"), 0, count * 4);
      session.device.queue.submit([encoder.finish()]);
      parameters.changed();
    }
    if (!options.signal?.aborted) await parameters.host();
  };
  /** Whether the validation data have ended the training after so many steps. */
  const isOver = (step: number) =>
    kept.best !== undefined && kept.best.since >= judging.patience && step >= kept.best.judged;
  let isHanded = false;
  try {
    flat = await parameters.borrow(session);
    arena.lend("parameters", flat.buffer);
    const own = [...optimizer.buffers(start), { name: "loss", bytes: 4, data: Float32Array.of(start.loss) }];
    await allocateAll(arena, [...task.buffers, ...own]).catch(async (error: unknown) => {
      if (!(error instanceof PushforwardError) || error.code !== "out-of-memory") throw error;
      const { noRoomForBatch } = await import("./seldom.ts");
      const buffers = (count: number) => [...makeTask(count).buffers, ...own];
      const limit = largestBinding(session.device.limits);
      throw noRoomForBatch({ what, batchSize, parts, limit, held: arena.bytes, buffers });
    });
    staging = await session.buffers.acquire(4, "staging", "loss");
    giveBack = budgetOf(session).hold(arena.bytes);
    const steps = stepping(task, optimizer, parts, arena, pacer);
    validator = options.validation && task.validator(options.validation);
    const validating = validator?.dispatches?.(flopsPerDispatch(speed)) ?? [];
    const packings = planPackings(backward);
    await pacer.prepare([...packings, ...steps.dispatches(), ...validating].map(({ kernel }) => kernel));
    await pacer.submit(arena, what, packings);

    let { sinceLog } = start;
    let timed = 0;
    let logged = performance.now();
    let stated = logged;
    for (let step = trained; step < plan.steps && !isOver(step); step++) {
      flow.assertAlive();
      const learningRate = rate(step);
      const done = step + 1;
      const isNews = done > kept.told;
      const validates = isNews && validator && (done % judging.every === 0 || done === plan.steps);
      const logs =
        done % plan.logEvery === 0 || done === plan.steps || (judging.every > 0 && done % judging.every === 0);
      sinceLog++;
      timed++;
      const copyLoss = staging;
      await steps.take(
        step,
        learningRate,
        logs
          ? (encoder) => {
              encoder.copyBufferToBuffer(arena.buffer("loss"), 0, copyLoss, 0, 4);
              encoder.clearBuffer(arena.buffer("loss"), 0, 4);
            }
          : undefined,
      );
      trained = done;
      kept.trained = Math.max(kept.trained, done);
      parameters.changed();
      let told: TrainingStep | undefined;
      if (logs) {
        const sum = item(new Float32Array(await pacer.answer(() => mapCopy(session, copyLoss, 4))), 0);
        pacer.check();
        const loss = await meanLoss(sum, sinceLog, done);
        const samplesPerSecond = (timed * batchSize) / Math.max(1e-9, (performance.now() - logged) / 1000);
        told = { step: done, loss, learningRate, samplesPerSecond, ...(await task.figures?.(step, arena, pacer)) };
        sinceLog = 0;
        timed = 0;
      }
      if (done === kept.trained) progress.tell(done);
      if (told && validator && validates) {
        const weights = arena.buffer(averages ? "average" : "parameters");
        told.validationLoss = await validator.loss(weights, pacer, progress.sign);
        pacer.check();
        kept.best = await judged(kept.best, done, told.validationLoss, async () => {
          const wanted = [{ name: averages ? "average" : "parameters", bytes: count * 4 }];
          return judging.keepBest ? (await readTogether(what, arena, pacer, wanted))[0] : undefined;
        });
        told.best = { step: kept.best.step, validationLoss: kept.best.validationLoss };
      }
      const saves = resumable.isDue(done, done === plan.steps || isOver(done)) && done > kept.saved;
      const states = performance.now() - stated > millisecondsBetweenStates;
      if (saves || states) {
        await steps.flush();
        const state = await resumable.read(arena, pacer, { step: done, sinceLog, best: kept.best });
        const mean = await meanLoss(state.loss, sinceLog, done);
        if (!state.weights.every(Number.isFinite)) throw await lost(mean, sinceLog, done);
        pacer.check();
        kept.state = state;
        if (saves) await resumable.save(state);
        if (saves) kept.saved = done;
        pacer.check();
        stated = performance.now();
      }
      if (!told || !isNews) continue;
      kept.told = done;
      yield told;
      logged = performance.now();
    }
    await pacer.drain();
    await hand();
    isHanded = true;
  } finally {
    // Also after an early break or an abort: the flow keeps what was learned.
    if (!isHanded && flat && !session.isLost) await hand().catch(() => undefined);
    pacer.close();
    giveBack?.();
    validator?.release();
    arena.release();
    flat?.release();
    if (staging) session.buffers.release(staging);
  }
}

/** The state before the first step, from the flow's weights. */
function freshState(weights: Float32Array, zeros: Float32Array, averages: boolean): TrainingState {
  const average = averages ? weights : undefined;
  return { step: 0, sinceLog: 0, loss: 0, weights, first: zeros, second: zeros, average, best: undefined };
}
