// What a browser loads when there is something to tune: see tilings.ts.
import { pause } from "#provider";
import { integrateKernel } from "../../shaders/integrate.ts";
import { integrateTileKernel } from "../../shaders/tile.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Integrator, oneBranch, planIntegrate } from "../kernels/fused.ts";
import { narrowLayout } from "../velocity/narrow-layout.ts";
import { candidateTilings } from "./candidates.ts";
import { storeKey } from "./kept.ts";
import type { LoadedTuner, Question } from "./question.ts";
import { DeviceTrial, longStep } from "./trial.ts";
import { type Choice, Tuner } from "./tuner.ts";

const seconds = (): number => performance.now() / 1000;

const integratorOf = ({ tile }: Tiling): Integrator => (tile === undefined ? integrateKernel : integrateTileKernel);

/** The kernel's mode among those of its network. */
export function modeOf({ divergence, stages, freeStages }: Question): string {
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
    isUsable: () => gpu.isUsable,
  });
  const keyOf = (field: Question["field"]) => storeKey(gpu.info, JSON.stringify(field));
  return {
    ready: (field) => tuner.ready(keyOf(field)),
    choose(question) {
      const { field } = question;
      const key = keyOf(field);
      const mode = modeOf(question);
      const tiling = tuner.chosen(key, mode) ?? tuner.choose(choiceOf(gpu, question, key, mode));
      return { tiling, integrator: integratorOf(tiling) };
    },
  };
}

/** A question with its candidates and with the work to time them on. */
export function choiceOf(gpu: Gpu, question: Question, key: string, mode: string): Choice {
  const { velocity, field, divergence, stages, freeStages, fixed } = question;
  const { dim } = field;
  const shape = { field, stages, freeStages, divergence };
  const probes = divergence.mode === "probes" ? divergence.perPass : 1;
  const names = { state: "state", integral: "integral", probes: "probes", schedule: "schedule", offsets: "offsets" };
  const weightsName = ({ outputs }: Tiling) => `weights ${outputs}`;
  return {
    key,
    mode,
    candidates: candidateTilings(gpu.info, gpu.device.limits, field, divergence, fixed),
    kernelText: (tiling) => integratorOf(tiling)({ ...shape, tiling }).code,
    trial: () =>
      new DeviceTrial(
        gpu.current,
        {
          velocity,
          stepRows: longStep(question.schedule, stages),
          flopsPerStep: question.flopsPerStep,
          rows: {
            [names.state]: dim,
            ...(divergence.mode !== "none" && { [names.integral]: probes }),
            ...(divergence.mode === "probes" && { [names.probes]: probes * dim }),
            ...(field.conditioned && { [names.offsets]: field.width }),
          },
          names,
          weightsName,
          layout: ({ outputs }) => narrowLayout(velocity, field, outputs),
          plan: (tiling, capacity, firstStep, lastStep) =>
            planIntegrate({
              ...shape,
              tiling,
              integrator: integratorOf(tiling),
              capacity,
              maxFlops: Number.POSITIVE_INFINITY,
              probes,
              branches: oneBranch,
              firstStep,
              lastStep,
              flopsPerStep: question.flopsPerStep,
              names: { ...names, weights: weightsName(tiling), ...(!field.conditioned && { offsets: undefined }) },
            }),
        },
        seconds,
      ),
  };
}
