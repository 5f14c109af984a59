import { read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { lines, wgsl } from "./wgsl.ts";

/** Register tile of the weight gradient: outputs × inputs per invocation. */
export interface GradientTile {
  readonly outputs: number;
  readonly inputs: number;
  /** Invocations of a workgroup along the inputs and along the outputs. */
  readonly workgroup: readonly [inputs: number, outputs: number];
}

export const plainGradientTile: GradientTile = { outputs: 4, inputs: 4, workgroup: [8, 8] };

/** The offset of weights or of a bias that a call does not write. */
export const nowhere = 0xffffffff;

/**
 * Partial weight gradients of one layer (or of some of its columns): ∂W[o][i] = Σ_p ā[o][p] h[i][p] over one segment of the particles, and ∂b[o] as an
 * input that is 1 for the first `value_vectors` and 0 for the tangents behind them. Written in the flat order of the parameters,
 * one copy per segment, or added to the copy that is there (`accumulate`); segments are added later, in order.
 */
export const weightGradientKernel = oncePerShape((tile: GradientTile) => {
  const each = (text: (o: number, i: number) => string) =>
    lines(tile.outputs, (o) => lines(tile.inputs, (i) => text(o, i)));
  /** Particle vectors p, p + 1, … p + count − 1 into all sums, in this order, with one assignment per sum. */
  const particlesText = (count: number) => {
    const u = Array.from({ length: count }, (_, n) => n);
    const loads = u.map((n) => [
      lines(
        tile.inputs,
        (j) =>
          `let h${j}_${n} = select(inputs[i${j}_row + p + ${n}u], vec4f(select(0.0, 1.0, p + ${n}u < params.value_vectors)), ones${j});`,
      ),
      lines(tile.outputs, (j) => `let c${j}_${n} = cotangents[o${j}_row + p + ${n}u];`),
    ]);
    const sums = each(
      (o, i) => `s${o}_${i} = ${u.reduce((sum, n) => `fma(c${o}_${n}, h${i}_${n}, ${sum})`, `s${o}_${i}`)};`,
    );
    return [...loads.flat(), sums].join("\n");
  };
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
fn put(place: u32, value: f32) {
  if (params.accumulate != 0u) { partials[place] += value; } else { partials[place] = value; }
}

@compute @workgroup_size(${tile.workgroup[0]}, ${tile.workgroup[1]})
fn weight_gradient(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  // invocations beyond the matrix compute on clamped rows and store nothing
  let i0 = id.x * ${tile.inputs}u;
  let o0 = id.y * ${tile.outputs}u;
  let segment = group.z + params.segment;
  let start = segment * params.segment_vectors;
  let end = min(start + params.segment_vectors, params.vectors);
  ${lines(tile.inputs, (j) => `let i${j}_row = (params.input_row + min(i0 + ${j}u, params.inputs - 1u)) * params.stride;`)}
  ${lines(tile.outputs, (j) => `let o${j}_row = (params.cotangent_row + min(o0 + ${j}u, params.outputs - 1u)) * params.stride;`)}
  ${lines(tile.inputs, (j) => `let ones${j} = i0 + ${j}u == params.inputs;`)}
  ${each((o, i) => `var s${o}_${i} = vec4f(0.0);`)}
  let whole = start + ((max(end, start) - start) & ~3u);
  for (var p = start; p < whole; p += 4u) {
    ${particlesText(4)}
  }
  for (var p = whole; p < end; p++) {
    ${particlesText(1)}
  }
  let base = segment * params.parameters;
  ${each(
    (o, i) => `{
    let total = (s${o}_${i}.x + s${o}_${i}.y) + (s${o}_${i}.z + s${o}_${i}.w);
    if (o0 + ${o}u < params.outputs) {
      if (i0 + ${i}u < params.inputs) {
        if (params.weight_offset != ${nowhere}u) {
          put(base + params.weight_offset + (o0 + ${o}u) * params.row_length + i0 + ${i}u, total);
        }
      } else if (ones${i} && params.bias_offset != ${nowhere}u) {
        put(base + params.bias_offset + o0 + ${o}u, total);
      }
    }
  }`,
  )}
}
`,
  });
});
