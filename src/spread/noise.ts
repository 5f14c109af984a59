import { checkNoise } from "../flow/noise.ts";
import type { ScoreField, StochasticOptions } from "../flow/options.ts";
import type { TrajectoryRequest } from "../flow/trajectory.ts";
import { item } from "../must.ts";
import type { Path } from "../path/names.ts";
import { trusted } from "../path/paths.ts";

/** Noise along paths, on its way to workers: functions of time as their values at the times of the grid. The score goes with the flow. */
export interface CarriedNoise {
  readonly times: readonly number[];
  readonly diffusion: readonly number[];
  /** JSON has null for what is no finite number, as a rate at the end of a path may be. */
  readonly path: Readonly<Record<keyof Path, readonly (number | null)[]>> | undefined;
}

/** The option `sde` of a call, checked as the flow itself does, as JSON. */
export function carriedNoise(request: TrajectoryRequest, dim: number, sde: StochasticOptions): CarriedNoise {
  const times = Array.from(request.grid.times);
  const { amounts: diffusion, path } = checkNoise(request, dim, sde);
  return {
    times,
    diffusion,
    path: path && {
      alpha: times.map((t) => path.alpha(t)),
      sigma: times.map((t) => path.sigma(t)),
      dAlpha: times.map((t) => path.dAlpha(t)),
      dSigma: times.map((t) => path.dSigma(t)),
    },
  };
}

/** The same option on a worker, where the score is a flow of its own device: functions that know the times of the grid. */
export function noiseOf({ times, diffusion, path }: CarriedNoise, score: ScoreField | undefined): StochasticOptions {
  const functionOf = (values: readonly (number | null)[]) => {
    const table = new Map(times.map((t, k) => [t, item(values, k)]));
    return (t: number) => {
      const value = table.get(t);
      if (value === undefined) throw new Error(`the noise is not known at t = ${t}`);
      return value === null ? Number.NaN : value;
    };
  };
  return {
    diffusion: functionOf(diffusion),
    ...(path && {
      path: trusted({
        alpha: functionOf(path.alpha),
        sigma: functionOf(path.sigma),
        dAlpha: functionOf(path.dAlpha),
        dSigma: functionOf(path.dSigma),
      }),
    }),
    ...(score && { score }),
  };
}
