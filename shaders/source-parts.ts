import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import {
  index,
  particle,
  perParticle,
  type SourceDensity,
  type SourceDraw,
  type SourceKernels,
  scaledSquares,
  signature,
} from "./particles.ts";
import { drawIndexAs, drawNumbers, drawParams, random } from "./random.ts";
import { startDraws, startPart, startValue } from "./source-draws.ts";
import { wgsl } from "./wgsl.ts";

/** The sources of which a particle chooses a part: a component or a row. */
type PartKind = "mixture" | "samples";

/** Draws X_0 for particles first, first + 1, … from the numbers of a source, as source-draws.ts has them. */
export const drawPartsKernel = oncePerShape(({ kind }: { kind: PartKind }) =>
  kernel({
    label: `draw ${kind} source`,
    entryPoint: "draw_source",
    params: { capacity: "u32", dim: "u32", ...drawParams, stream_source: "u32", parts: "u32" },
    buffers: { source: read("array<f32>"), state: write("array<f32>") },
    code: wgsl`
${random}

${particle}
fn draw_source${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  ${drawIndexAs("start_low", "start_high")}
  let key = vec2u(params.key_low, params.key_high);
  ${startPart(kind, "source", "0u")}
  for (var first = 0u; first < params.dim; first += 4u) {
    ${startDraws(kind)}
    for (var j = 0u; j < 4u && first + j < params.dim; j++) {
      let i = first + j;
      ${startValue(kind, "source", "0u")}
      state[i * params.capacity + p] = start;
    }
  }
}
`,
  }),
);

function drawSource(o: SourceDraw): Dispatch {
  const { kind, parts, capacity, dim, stream, source, state } = o;
  return dispatchOf(drawPartsKernel({ kind: kind as PartKind }), {
    params: { capacity, dim, stream_source: stream, parts, ...drawNumbers(o.first, o.key) },
    buffers: { source, state },
    ...perParticle(capacity, dim * 60),
  });
}

/** log p_0 of the state: that of a mixture of diagonal Gaussians, by the largest of its terms. */
export const mixtureDensityKernel = oncePerShape((_: object) =>
  kernel({
    label: "mixture source log-density",
    entryPoint: "source_density",
    params: { capacity: "u32", dim: "u32", parts: "u32" },
    buffers: { source: read("array<f32>"), state: read("array<f32>"), density: write("array<f32>") },
    code: wgsl`
fn log_part(p: u32, part: u32) -> f32 {
  let means = part * params.dim;
  let deviations = (params.parts + part) * params.dim;
  ${scaledSquares("means", "deviations")}
  return fma(-0.5, sum, source[2u * params.parts * params.dim + params.parts + part]);
}

${particle}
fn source_density${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  var top = log_part(p, 0u);
  for (var k = 1u; k < params.parts; k++) { top = max(top, log_part(p, k)); }
  var sum = 0.0;
  for (var k = 0u; k < params.parts; k++) { sum += exp(log_part(p, k) - top); }
  // where all are −∞ the sum is NaN
  density[p] = select(top + log(sum), top, bitcast<u32>(top) == 0xff800000u);
}
`,
  }),
);

function sourceDensity({ parts, capacity, dim, source, state, density }: SourceDensity): Dispatch {
  return dispatchOf(mixtureDensityKernel({}), {
    params: { capacity, dim, parts },
    buffers: { source, state, density },
    ...perParticle(capacity, parts * dim * 16),
  });
}

/** Of the kinds with parts. */
export const partSources: SourceKernels = { drawSource, sourceDensity };
