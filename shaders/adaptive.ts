import { floats, layout, member, ownRows, solveParams, statuses, words } from "./adaptive-rows.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, signature } from "./particles.ts";
import { lines, wgsl } from "./wgsl.ts";

/**
 * Starts a solve: state [dim][capacity] and log p at the start [capacity] (where it is `based` on one) into the rows of `solve`.
 * Saves the first goal where it is the start itself.
 */
export const beginKernel = oncePerShape(({ based, stages }: { based: boolean; stages: number }) =>
  kernel({
    label: "begin adaptive solve",
    entryPoint: "begin",
    params: solveParams(stages),
    buffers: {
      solve: write(floats),
      base: based && read(floats),
      state: write(floats),
      list: write(words),
      lengths: write(words),
      times: write(floats),
    },
    code: wgsl`${layout(stages)}

${particle}
fn begin${signature} {
  ${index}
  if (p == 0u) { lengths[0] = params.count; }
  if (p >= params.capacity) { return; }
  for (var i = 0u; i < params.dim; i++) { solve[now(i, p)] = state[i * params.capacity + p]; }
  for (var k = 0u; k < params.rows; k++) { solve[now(params.dim + k, p)] = 0.0; }
  ${lines(ownRows.length, (k) => (ownRows[k] === "base" ? "" : `solve[at_${ownRows[k]}(p)] = 0.0;`))}
  // a log p that is not finite has no say in the steps
  ${based ? "solve[at_base(p)] = select(0.0, base[p], is_finite(base[p]));" : "solve[at_base(p)] = 0.0;"}
  solve[at_time(p)] = params.start;
  keep_whole(at_goal(p), params.stage);
  keep_whole(at_status(p), ${statuses.running}u);
  times[p] = params.start;
  if (p < params.count) { list[p] = p; }
}
`,
  }),
);

/** The list of the particles that are still at work. Their order is of no importance. */
export const compactKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: "particles still at work",
    entryPoint: "compact",
    params: solveParams(stages),
    buffers: { solve: write(floats), list: read(words), lengths: write("array<atomic<u32>>"), new_list: write(words) },
    code: wgsl`${layout(stages)}

${particle}
fn compact${signature} {
  ${index}
  if (p >= atomicLoad(&lengths[params.from_list])) { return; }
  let q = list[p];
  if (whole(at_status(q)) == ${statuses.running}u) { new_list[atomicAdd(&lengths[params.to_list], 1u)] = q; }
}
`,
  }),
);

/** One number of `lengths` back to zero. */
export const clearLengthKernel = oncePerShape((_: object) =>
  kernel({
    label: "no particles at work",
    entryPoint: "clear_length",
    params: { which: "u32" },
    buffers: { lengths: write(words) },
    code: wgsl`
@compute @workgroup_size(1)
fn clear_length() { lengths[params.which] = 0u; }
`,
  }),
);

/** What belongs to the particles of a list, in its order: to[j, p] = from[j, list[p]]. */
export const gatherKernel = oncePerShape((_: object) =>
  kernel({
    label: "gather by list",
    entryPoint: "gather",
    params: { from_list: "u32", rows: "u32", from_row: "u32", to_row: "u32", each: "u32" },
    buffers: { from_values: read(words), list: read(words), lengths: read(words), to_values: write(words) },
    code: wgsl`
${particle}
fn gather${signature} {
  ${member}
  for (var j = 0u; j < params.rows; j++) {
    to_values[j * params.to_row + p * params.each] = from_values[j * params.from_row + q * params.each];
  }
}
`,
  }),
);

/**
 * A state, the last or a saved one, back to where a fixed grid leaves it. For particles that did not reach the goal, the last one.
 */
export const restoreKernel = oncePerShape(({ tracks, stages }: { tracks: boolean; stages: number }) =>
  kernel({
    label: "restore a state of an adaptive solve",
    entryPoint: "restore",
    params: solveParams(stages),
    buffers: { solve: write(floats), saved: read(floats), state: write(floats), integral: tracks && write(floats) },
    code: wgsl`${layout(stages)}

${particle}
fn restore${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  // count: the saved state, from 0, or all ones for the last; stage: the goal that saves it
  let is_last = params.count == 0xffffffffu || (whole(at_status(p)) != ${statuses.done}u && whole(at_goal(p)) <= params.stage);
  for (var i = 0u; i < components(); i++) {
    var value = solve[now(i, p)];
    if (!is_last) { value = saved[(params.count * components() + i) * params.capacity + p]; }
    if (i < params.dim) { state[i * params.capacity + p] = value; }
    ${tracks ? "else { integral[(i - params.dim) * params.capacity + p] = value; }" : ""}
  }
}
`,
  }),
);

/** Statuses of the particles, and sums over them: accepted steps, rejected ones; the most of both. */
export const reportKernel = oncePerShape(({ stages }: { stages: number }) =>
  kernel({
    label: "report of an adaptive solve",
    entryPoint: "report",
    params: solveParams(stages),
    buffers: { solve: write(floats), status: write(words), totals: write("array<atomic<u32>>") },
    code: wgsl`${layout(stages)}

${particle}
fn report${signature} {
  ${index}
  if (p >= params.count) { return; }
  status[p] = whole(at_status(p));
  let accepted = whole(at_accepted(p));
  let rejected = whole(at_rejected(p));
  atomicAdd(&totals[0], accepted);
  atomicAdd(&totals[1], rejected);
  atomicMax(&totals[2], accepted + rejected);
}
`,
  }),
);
