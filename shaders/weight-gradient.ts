import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Register tile of the weight gradient: outputs × inputs of one of the 8 × 8 invocations of a workgroup, at most 8 of each. */
interface GradientTile {
  readonly outputs: number;
  readonly inputs: number;
}

/** Invocations of a workgroup along the inputs, and along the outputs. */
export const gradientSide = 8;

/** The offset of weights or of a bias that a call does not write. */
export const nowhere = 0xffffffff;

/** Particle vectors of a slice, and of a row of it: the one between keeps the rows that are read together in banks of their own. */
const slice = 4;
const pitch = slice + 1;
/** Rows that the workgroup fetches at a time, a vector an invocation. */
const fetchedRows = gradientSide ** 2 / slice;

/**
 * For GPUs: partial weight gradients of one layer (or of some of its columns), ∂W[o][i] = Σ_p ā[o][p] h[i][p] over one segment of the
 * particles, and ∂b[o] = Σ_p ā[o][p] over the first `value_vectors` of them, without the tangents behind. Slice by slice of the
 * particles, the workgroup copies its rows to workgroup memory; while all add, the next slice is on its way to registers.
 * Written in the flat order of the parameters, one copy per segment, or added to the copy that is there (`accumulate`); segments are
 * added later, in order.
 */
export const weightGradientKernel = oncePerShape((tile: GradientTile) => {
  const rowsOf = { cotangent: gradientSide * tile.outputs, input: gradientSide * tile.inputs };
  const sides = ["cotangent", "input"] as const;
  const fetches = sides.flatMap((side) =>
    Array.from({ length: Math.ceil(rowsOf[side] / fetchedRows) }, (_, n) => ({
      side,
      name: `${side}${n}`,
      row: `row + ${n * fetchedRows}u`,
      // the last of them may have fewer rows than there are invocations for
      isWhole: (n + 1) * fetchedRows <= rowsOf[side],
    })),
  );
  const fetch = (p: string) =>
    fetches
      .map(
        ({ side, name }) =>
          `next_${name} = select(vec4f(0.0), ${side}s[${name}_row + min(${p} + vector, end - 1u)], ${p} + vector < end);`,
      )
      .join("\n    ");
  const put = fetches
    .map(({ side, name, row, isWhole }) => {
      const text = `${side}_slice[(${row}) * ${pitch}u + vector] = next_${name};`;
      return isWhole ? text : `if (${row} < ${rowsOf[side]}u) { ${text} }`;
    })
    .join("\n    ");
  const inputs = Array.from({ length: tile.inputs }, (_, i) => i);
  const sum = (o: number, i: number) =>
    ["x", "y", "z", "w"].reduce((sum, c) => `fma(c.${c}, h${i}.${c}, ${sum})`, `s${o}_${i}`);
  return kernel({
    label: "weight gradient",
    entryPoint: "weight_gradient",
    params: {
      stride: "u32",
      vectors: "u32",
      segment_vectors: "u32",
      inputs: "u32",
      outputs: "u32",
      weight_offset: "u32",
      row_length: "u32",
      bias_offset: "u32",
      parameters: "u32",
      segment: "u32",
      value_vectors: "u32",
      cotangent_row: "u32",
      input_row: "u32",
      accumulate: "u32",
    },
    buffers: { cotangents: read("array<vec4f>"), inputs: read("array<vec4f>"), partials: write("array<f32>") },
    code: wgsl`
var<workgroup> cotangent_slice: array<vec4f, ${rowsOf.cotangent * pitch}>;
var<workgroup> input_slice: array<vec4f, ${rowsOf.input * pitch}>;

fn put(place: u32, value: f32) {
  if (params.accumulate != 0u) { partials[place] += value; } else { partials[place] = value; }
}

@compute @workgroup_size(${gradientSide ** 2})
fn weight_gradient(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = local % ${gradientSide}u;
  let line = local / ${gradientSide}u;
  let first_input = group.x * ${rowsOf.input}u;
  let first_output = group.y * ${rowsOf.cotangent}u;
  let segment = group.z + params.segment;
  let start = segment * params.segment_vectors;
  let end = min(start + params.segment_vectors, params.vectors);
  let vector = local % ${slice}u;
  let row = local / ${slice}u;
  // rows beyond the matrix repeat the last one, and are not stored
  ${fetches
    .map(({ side, name, row }) => {
      const [first, rows] = side === "input" ? ["first_input", "inputs"] : ["first_output", "outputs"];
      return `let ${name}_row = (params.${side}_row + min(${first} + ${row}, params.${rows} - 1u)) * params.stride;
  var next_${name}: vec4f;`;
    })
    .join("\n  ")}
  ${lines(tile.outputs, (o) => lines(tile.inputs, (i) => `var s${o}_${i} = 0.0;`))}
  var bias = vec4f(0.0);
  ${fetch("start")}
  for (var p = start; p < end; p += ${slice}u) {
    ${put}
    workgroupBarrier();
    ${fetch(`p + ${slice}u`)}
    for (var v = 0u; v < ${slice}u; v++) {
      ${lines(tile.inputs, (i) => `let h${i} = input_slice[(column + ${gradientSide * i}u) * ${pitch}u + v];`)}
      ${lines(
        tile.outputs,
        (o) => `{
        let c = cotangent_slice[(line + ${gradientSide * o}u) * ${pitch}u + v];
        ${inputs.map((i) => `s${o}_${i} = ${sum(o, i)};`).join("\n        ")}
      }`,
      )}
    }
    if (group.x == 0u && local < ${rowsOf.cotangent}u) {
      for (var v = 0u; v < ${slice}u; v++) {
        bias += select(vec4f(0.0), cotangent_slice[local * ${pitch}u + v], p + v < params.value_vectors);
      }
    }
    workgroupBarrier();
  }
  let base = segment * params.parameters;
  if (params.weight_offset != ${nowhere}u) {
    ${lines(
      tile.outputs,
      (o) => `if (first_output + line + ${gradientSide * o}u < params.outputs) {
      let place = base + params.weight_offset + (first_output + line + ${gradientSide * o}u) * params.row_length + first_input + column;
      ${inputs.map((i) => `if (first_input + column + ${gradientSide * i}u < params.inputs) { put(place + ${gradientSide * i}u, s${o}_${i}); }`).join("\n      ")}
    }`,
    )}
  }
  if (params.bias_offset != ${nowhere}u && group.x == 0u && local < ${rowsOf.cotangent}u && first_output + local < params.outputs) {
    put(base + params.bias_offset + first_output + local, (bias.x + bias.y) + (bias.z + bias.w));
  }
}
`,
  });
});
