import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { particle, particleWorkgroup, perParticle, signature } from "./particles.ts";
import { stageFloats } from "./stage-row.ts";
import { wgsl } from "./wgsl.ts";

/**
 * The inputs of a network at every stage of some steps and of every class: a row of times, then the one-hot rows. Column c is of stage
 * ⌊c / (classes + 1)⌋ from `first_row` on and of class c mod (classes + 1), the last one being the null class.
 * Buffers: schedule, inputs [1 + classes][columns].
 */
export const tableInputsKernel = oncePerShape(({ stages, classes }: { stages: number; classes: number }) =>
  kernel({
    label: "inputs of a table",
    entryPoint: "table_inputs",
    params: { columns: "u32", used: "u32", first_row: "u32" },
    buffers: { schedule: read("array<f32>"), inputs: write("array<f32>") },
    code: wgsl`
${particle}
fn table_inputs${signature} {
  let column = id.x + id.y * groups.x * ${particleWorkgroup}u;
  if (column >= params.columns) { return; }
  // padding repeats the last column
  let c = min(column, params.used - 1u);
  inputs[column] = schedule[(params.first_row + c / ${classes + 1}u) * ${stageFloats(stages)}u];
  for (var k = 0u; k < ${classes}u; k++) {
    inputs[(1u + k) * params.columns + column] = select(0.0, 1.0, c % ${classes + 1}u == k);
  }
}
`,
  }),
);

/** See {@link tableInputsKernel}: of `used` columns from stage `firstRow` of the schedule on. */
export function planTableInputs(o: {
  stages: number;
  classes: number;
  columns: number;
  used: number;
  firstRow: number;
  names: { schedule: string; inputs: string };
}): Dispatch {
  const { stages, classes, columns, used, firstRow } = o;
  return dispatchOf(tableInputsKernel({ stages, classes }), {
    params: { columns, used, first_row: firstRow },
    buffers: o.names,
    ...perParticle(columns, 2 + classes),
  });
}

/**
 * A table whose columns lie together, for kernels that read one of them: neighbouring rows of one time share a cache line, and begin where
 * a vec4 may. Buffers: rows [rows][columns], table [columns][rows].
 */
export const transposeTableKernel = oncePerShape(() =>
  kernel({
    label: "columns of a table",
    entryPoint: "transpose_table",
    params: { rows: "u32", columns: "u32" },
    buffers: { from_rows: read("array<f32>"), table: write("array<f32>") },
    code: wgsl`
${particle}
fn transpose_table${signature} {
  let i = id.x + id.y * groups.x * ${particleWorkgroup}u;
  let column = i % params.columns;
  let row = i / params.columns;
  if (row >= params.rows) { return; }
  table[column * params.rows + row] = from_rows[i];
}
`,
  }),
);

/** See {@link transposeTableKernel}. */
export function planTransposeTable(o: { rows: number; columns: number; from: string; target: string }): Dispatch {
  const { rows, columns, from, target } = o;
  return dispatchOf(transposeTableKernel({}), {
    params: { rows, columns },
    buffers: { from_rows: from, table: target },
    ...perParticle(rows * columns, 1),
  });
}

/** The table's column of each particle's class, the null class being the last one. Buffers: classes [capacity], [labels [count]]. */
export const classColumnsKernel = oncePerShape(({ labels }: { labels: boolean }) =>
  kernel({
    label: "columns of classes",
    entryPoint: "class_columns",
    params: { capacity: "u32", count: "u32", classes: "u32" },
    buffers: { columns: write("array<u32>"), labels: labels && read("array<u32>") },
    code: wgsl`
${particle}
fn class_columns${signature} {
  let p = id.x + id.y * groups.x * ${particleWorkgroup}u;
  if (p >= params.capacity) { return; }
#if ${labels}
  columns[p] = min(labels[min(p, params.count - 1u)], params.classes);
#else
  columns[p] = params.classes;
#endif
}
`,
  }),
);

/** The column of each particle's class, into the buffer `target`; without labels all are of the null class. */
export function planClassColumns(o: {
  capacity: number;
  count: number;
  classes: number;
  target: string;
  labels?: string | undefined;
}): Dispatch {
  const { capacity, count, classes, target, labels } = o;
  return dispatchOf(classColumnsKernel({ labels: labels !== undefined }), {
    params: { capacity, count, classes },
    buffers: { columns: target, labels },
    ...perParticle(capacity, 1),
  });
}
