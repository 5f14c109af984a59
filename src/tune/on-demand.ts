// What a browser loads when there is something to tune: see tilings.ts.
import { pause } from "#provider";
import type { Gpu } from "../gpu/gpu.ts";
import { oneBranch, planIntegrate } from "../kernels/fused.ts";
import { candidateTilings } from "./candidates.ts";
import { storeKey } from "./kept.ts";
import type { LoadedTuner, Question } from "./question.ts";
import { DeviceTrial, longStep } from "./trial.ts";
import { type Choice, Tuner } from "./tuner.ts";

const seconds = (): number => performance.now() / 1000;

/** The kernel's mode among those of its network. */
export function modeOf({ shape: { divergence, stages, freeStages } }: Question): string {
  const perPass = "perPass" in divergence ? ` ${divergence.perPass}` : "";
  return `${divergence.mode}${perPass}, ${stages} stages${freeStages ? ", one free" : ""}`;
}

/** The tuner of a device. */
export function makeTuner(gpu: Gpu): LoadedTuner {
  const tuner = new Tuner({
    ...gpu.current.profile.tuning,
    now: seconds,
    pause: (duration) => pause(1000 * duration),
    activity: () => gpu.current.pipelines.requests,
    isCompiling: () => gpu.current.pipelines.isCompiling,
    isUsable: () => gpu.isUsable,
  });
  return {
    ready: (key) => tuner.ready(storeKey(gpu.info, key)),
    choose(question) {
      const key = storeKey(gpu.info, question.key);
      const mode = modeOf(question);
      return tuner.chosen(key, mode) ?? tuner.choose(choiceOf(gpu, question, key, mode));
    },
  };
}

/** A question with its candidates and with the work to time them on. */
export function choiceOf(gpu: Gpu, question: Question, key: string, mode: string): Choice {
  const { network, shape, integrator, flopsPerStep, more } = question;
  const { divergence, stages } = shape;
  const { dim } = network;
  const probes = divergence.mode === "probes" ? divergence.perPass : 1;
  const names = { state: "state", integral: "integral", probes: "probes", schedule: "schedule" };
  const moreNames = Object.fromEntries(Object.keys(more).map((name) => [name, name]));
  return {
    key,
    mode,
    candidates: question.candidates(candidateTilings),
    kernelText: (tiling) => integrator({ ...shape, tiling }).code,
    trial: () =>
      new DeviceTrial(
        gpu.current,
        {
          network,
          stepRows: longStep(question.schedule, stages),
          flopsPerStep,
          rows: {
            [names.state]: dim,
            ...(divergence.mode !== "none" && { [names.integral]: probes }),
            ...(divergence.mode === "probes" && { [names.probes]: probes * dim }),
            ...more,
          },
          names,
          weightsName: (tiling) => question.weightsName(tiling),
          layout: (tiling) => question.layout(tiling),
          plan: (tiling, capacity, firstStep, lastStep) =>
            planIntegrate({
              ...shape,
              tiling,
              integrator,
              capacity,
              maxFlops: Number.POSITIVE_INFINITY,
              probes,
              branches: oneBranch,
              firstStep,
              lastStep,
              flopsPerStep,
              ...(more.table !== undefined && { table: { firstRow: 0 } }),
              names: { ...names, ...moreNames, weights: question.weightsName(tiling) },
            }),
        },
        seconds,
      ),
  };
}
