import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { drawIndex, drawNumbers, drawParams, random } from "./random.ts";
import { wgsl } from "./wgsl.ts";

/**
 * A step of an SDE for all particles, by what the field gave at the state: of Euler–Maruyama, or the predictor or the corrector of the
 * stochastic Heun method, which keeps the state and the drift at its beginning.
 */
export type StochasticStage = "euler" | "predict" | "correct";

interface StochasticShape {
  readonly stage: StochasticStage;
  /** Whether a field of its own gives the score; else it follows from the velocity and a Gaussian source. */
  readonly score: boolean;
}

/**
 * drift = u + q·s; x ← x + h·drift + noise·z, or for the corrector x ← start + h/2 (drift at the start + drift) + noise·z with the same z.
 * z are normals by the particle's number and the step. Where the score follows from the velocity it is (ax·x + au·u + am·mean)/std², the
 * source's two rows. "times" gets the time at which the field is asked next.
 */
export const stochasticKernel = oncePerShape(({ stage, score }: StochasticShape) =>
  kernel({
    label: `stochastic step, ${stage}${score ? ", by a score" : ""}`,
    entryPoint: "stochastic_step",
    params: {
      capacity: "u32",
      dim: "u32",
      ...drawParams,
      stream: "u32",
      first_draw: "u32",
      h: "f32",
      q: "f32",
      noise: "f32",
      next: "f32",
      ax: !score && "f32",
      au: !score && "f32",
      am: !score && "f32",
    },
    buffers: {
      state: write("array<f32>"),
      velocity: read("array<f32>"),
      score: score && read("array<f32>"),
      source: !score && read("array<f32>"),
      times: write("array<f32>"),
      starts: stage !== "euler" && write("array<f32>"),
      drifts: stage !== "euler" && write("array<f32>"),
    },
    code: wgsl`
${random}

${particle}
fn stochastic_step${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  ${drawIndex}
  for (var first = 0u; first < params.dim; first += 4u) {
    let bits = philox(vec4u(low, high, params.first_draw + first / 4u, params.stream), vec2u(params.key_low, params.key_high));
    let normals = normal4(bits);
    for (var j = 0u; j < 4u && first + j < params.dim; j++) {
      let i = first + j;
      let at = i * params.capacity + p;
      let x = state[at];
      let u = velocity[at];
#if ${score}
      let drift = fma(params.q, score[at], u);
#else
      let deviation = source[params.dim + i];
      let s = fma(params.ax, x, fma(params.au, u, params.am * source[i])) / deviation / deviation;
      let drift = fma(params.q, s, u);
#endif
      let push = params.noise * normals[j];
#if ${stage === "correct"}
      state[at] = starts[at] + fma(0.5 * params.h, drifts[at] + drift, push);
#else
      state[at] = x + fma(params.h, drift, push);
#endif
#if ${stage === "predict"}
      starts[at] = x;
      drifts[at] = drift;
#endif
    }
  }
  times[p] = params.next;
}
`,
  }),
);

/** What a step does, as {@link stochasticKernel} says. */
export interface StochasticStep {
  readonly h: number;
  readonly q: number;
  readonly noise: number;
  readonly next: number;
  readonly ax: number;
  readonly au: number;
  readonly am: number;
}

export function planStochasticStep(o: {
  shape: StochasticShape;
  capacity: number;
  dim: number;
  first: number;
  key: readonly [number, number];
  stream: number;
  firstDraw: number;
  step: StochasticStep;
  names: {
    state: string;
    velocity: string;
    score: string;
    source: string;
    times: string;
    starts: string;
    drifts: string;
  };
}): Dispatch {
  const { shape, capacity, dim, stream, names } = o;
  const { ax, au, am, ...step } = o.step;
  const { state, velocity, score, source, times, starts, drifts } = names;
  const isEuler = shape.stage === "euler";
  return dispatchOf(stochasticKernel(shape), {
    params: {
      capacity,
      dim,
      stream,
      first_draw: o.firstDraw,
      ...drawNumbers(o.first, o.key),
      ...step,
      ...(shape.score ? { ax: undefined, au: undefined, am: undefined } : { ax, au, am }),
    },
    buffers: {
      state,
      velocity,
      score: shape.score ? score : undefined,
      source: shape.score ? undefined : source,
      times,
      starts: isEuler ? undefined : starts,
      drifts: isEuler ? undefined : drifts,
    },
    ...perParticle(capacity, 70 * dim),
  });
}
