import { finishLogProb, type SourceKernels } from "../../shaders/particles.ts";
import type { Dispatch, PlannedBuffer } from "../gpu/kernel.ts";
import { type Chunk, type DivergenceMode, integralsOf, names } from "../ode/engine.ts";
import { slice } from "../ode/slice.ts";
import type { Part } from "./part.ts";
import type { Normalization, SourceSpec } from "./source.ts";
import { densityName } from "./states.ts";

/** Log-density that the change to data units adds: −Σ log scale. */
export function logScale(normalization: Normalization | undefined): number {
  return normalization ? -normalization.scale.reduce((sum, s) => sum + Math.log(s), 0) : 0;
}

/** log p of a chunk from its solve: what is known of it at one end, and the integral of the divergence up to the other. */
export interface LogProbPlan {
  /** −∫ div u dt, [probes or 1][capacity]: zeros at the start of the solve. */
  readonly integral: PlannedBuffer;
  /** log p at the end where it is known, [capacity]. */
  readonly base: PlannedBuffer;
  /** log p_0 of the states into the base. */
  readonly density: Dispatch;
  /** log p into elements of the buffer `target` from `offset` on, with its standard error over the probes where that is named. */
  finish(target: string, offset?: number, standardError?: string): Dispatch;
}

/** Solves go from the end where log p is known, `forward`, or `backward` from the other; `constant` is added to log p. */
export function planLogProb(
  source: SourceSpec,
  dim: number,
  mode: DivergenceMode,
  direction: "forward" | "backward",
  constant: number,
  { count, capacity }: Chunk,
  { sourceDensity }: SourceKernels,
): LogProbPlan {
  const { kind, parts } = source;
  const probes = integralsOf(mode);
  const [base, integral] = ["base", names.integral];
  return {
    integral: { name: integral, bytes: probes * capacity * 4 },
    base: { name: base, bytes: capacity * 4 },
    density: sourceDensity({
      kind,
      parts,
      capacity,
      dim,
      constant: source.constant,
      source: densityName(source),
      state: names.state,
      density: base,
    }),
    finish(logProb, offset = 0, standardError) {
      const sign = direction === "forward" ? 1 : -1;
      return finishLogProb({ count, capacity, probes, sign, constant, offset, base, integral, logProb, standardError });
    },
  };
}

/** Has a solve begin with log p: as the caller gives it, as the source has it, or unknown so far. */
export function beginLogProb(
  { integral, base, density }: LogProbPlan,
  known: Float32Array | GPUBuffer | "source" | undefined,
  { start, count }: Chunk,
): Part {
  const given = known === "source" ? undefined : known;
  return {
    buffers: [
      { ...integral, data: new Float32Array(integral.bytes / 4) },
      given ? { ...slice(base.name, given, start, count, 1), bytes: base.bytes } : base,
    ],
    dispatches: known === "source" ? [density] : [],
  };
}
