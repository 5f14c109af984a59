import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { drawIndex, drawNumbers, drawParams, random } from "./random.ts";
import { wgsl } from "./wgsl.ts";

/** Probes of Hutchinson's estimate of a trace (Hutchinson 1989; docs/mathematics.md, Divergence). */
type ProbeKind = "rademacher" | "gaussian";

/** Draws Z for every particle and probe into probes [K][dim][capacity]; probe k continues the draws of the particle. */
export const drawProbesKernel = oncePerShape(({ kind }: { kind: ProbeKind }) =>
  kernel({
    label: `draw ${kind} probes`,
    entryPoint: "draw_probes",
    params: { capacity: "u32", dim: "u32", ...drawParams, stream: "u32", probes: "u32" },
    buffers: { probes: write("array<f32>") },
    code: wgsl`
${random}

${particle}
fn draw_probes${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  ${drawIndex}
  let key = vec2u(params.key_low, params.key_high);
#if ${kind === "gaussian"}
  let per_draw = 4u;
#else
  let per_draw = 128u;
#endif
  let draws = (params.dim + per_draw - 1u) / per_draw;
  for (var k = 0u; k < params.probes; k++) {
    for (var draw = 0u; draw < draws; draw++) {
      let bits = philox(vec4u(low, high, k * draws + draw, params.stream), key);
#if ${kind === "gaussian"}
      let values = normal4(bits);
#endif
      for (var j = 0u; j < per_draw && draw * per_draw + j < params.dim; j++) {
#if ${kind === "gaussian"}
        let value = values[j];
#else
        let value = select(-1.0, 1.0, ((bits[j / 32u] >> (j % 32u)) & 1u) == 1u);
#endif
        probes[(k * params.dim + draw * per_draw + j) * params.capacity + p] = value;
      }
    }
  }
}
`,
  }),
);

/** Z of particles `first`, `first + 1`, … into `probes` [K][dim][capacity]. */
export function drawProbes(o: {
  kind: ProbeKind;
  capacity: number;
  dim: number;
  count: number;
  first: number;
  key: readonly [number, number];
  stream: number;
  probes: string;
}): Dispatch {
  const { capacity, dim, stream, count } = o;
  return dispatchOf(drawProbesKernel({ kind: o.kind }), {
    params: { capacity, dim, stream, probes: count, ...drawNumbers(o.first, o.key) },
    buffers: { probes: o.probes },
    ...perParticle(capacity, dim * count * 40),
  });
}
