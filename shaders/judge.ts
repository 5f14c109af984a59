import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { wgsl } from "./wgsl.ts";

/**
 * Counts the particles whose result is not to be trusted: `tallies[0]` those with a NaN or an infinity in their row of `rows`
 * [count][dim] or in `logProb`, `tallies[1]` those of the others whose adaptive solve did not end (`status` is not 0). With `marks`,
 * marks[p] is 1 for the particles that are in neither count, else 0.
 */
export const judgeKernel = oncePerShape(
  ({ logProb, status, marks }: { logProb: boolean; status: boolean; marks: boolean }) =>
    kernel({
      label: "judge results",
      entryPoint: "judge",
      params: { count: "u32", dim: "u32" },
      buffers: {
        rows: read("array<f32>"),
        log_prob: logProb && read("array<f32>"),
        status: status && read("array<u32>"),
        tallies: write("array<atomic<u32>>"),
        marks: marks && write("array<u32>"),
      },
      code: wgsl`
// by the bits: comparisons with NaN may be optimised away
fn is_finite(value: f32) -> bool { return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u; }

${particle}
fn judge${signature} {
  ${index}
  if (p >= params.count) { return; }
  var finite = true;
  for (var i = 0u; i < params.dim; i++) { finite = finite && is_finite(rows[p * params.dim + i]); }
#if ${logProb}
  finite = finite && is_finite(log_prob[p]);
#endif
  var ended = true;
#if ${status}
  ended = status[p] == 0u;
#endif
  if (!finite) { atomicAdd(&tallies[0], 1u); }
  if (finite && !ended) { atomicAdd(&tallies[1], 1u); }
#if ${marks}
  marks[p] = select(0u, 1u, finite && ended);
#endif
}
`,
    }),
);

/** Judges `rows` [count][dim], with `logProb` and with `status` where they are named; `marks` [count] becomes 1 for the good ones. */
export function judge(o: {
  count: number;
  dim: number;
  rows: string;
  logProb?: string | undefined;
  status?: string | undefined;
  tally: string;
  marks?: string | undefined;
}): Dispatch {
  const { count, dim, rows, logProb, status, tally, marks } = o;
  const shape = { logProb: logProb !== undefined, status: status !== undefined, marks: marks !== undefined };
  return dispatchOf(judgeKernel(shape), {
    params: { count, dim },
    buffers: { rows, log_prob: logProb, status, tallies: tally, marks },
    ...perParticle(count, (dim + 2) * 2),
  });
}
