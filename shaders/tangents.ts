import { type Dispatch, dispatchOf } from "./dispatch.ts";
import { type Numeric, read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { index, particle, perParticle, signature } from "./particles.ts";
import { wgsl } from "./wgsl.ts";

/** Fills [tangents][dim][capacity] with the unit vectors e_first, e_first+1, … or with probes first, first + 1, … */
export const tangentInputKernel = oncePerShape(({ basis }: { basis: boolean }) =>
  kernel({
    label: basis ? "basis tangents" : "probe tangents",
    entryPoint: "tangent_input",
    params: { capacity: "u32", dim: "u32", first: "u32", tangents: "u32" },
    buffers: { tangents: write("array<f32>"), probes: !basis && read("array<f32>") },
    code: wgsl`
${particle}
fn tangent_input${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  for (var s = 0u; s < params.tangents; s++) {
    for (var i = 0u; i < params.dim; i++) {
      let at = (s * params.dim + i) * params.capacity + p;
#if ${basis}
      tangents[at] = select(0.0, 1.0, i == params.first + s);
#else
      tangents[at] = probes[params.first * params.dim * params.capacity + at];
#endif
    }
  }
}
`,
  }),
);

export function planTangentInput(o: {
  capacity: number;
  dim: number;
  first: number;
  tangents: number;
  probes?: string | undefined;
  input: string;
}): Dispatch {
  const { capacity, dim, first, tangents, probes, input } = o;
  return dispatchOf(tangentInputKernel({ basis: probes === undefined }), {
    params: { capacity, dim, first, tangents },
    buffers: { tangents: input, probes },
    ...perParticle(capacity, 2 * dim * tangents),
  });
}

/**
 * Adds weight·(v_s · J v_s) of every tangent s to a sum: all into row 0 (`each` false), or tangent s into row first + s.
 * Unit vectors pick one element instead of a dot product.
 */
export const tangentDotKernel = oncePerShape(({ basis, each }: { basis: boolean; each: boolean }) =>
  kernel({
    label: `divergence from ${basis ? "basis" : "probe"} tangents`,
    entryPoint: "tangent_dot",
    params: { capacity: "u32", dim: "u32", first: "u32", tangents: "u32", weight: "f32", begin: "u32" },
    buffers: { products: read("array<f32>"), sums: write("array<f32>"), tangents: !basis && read("array<f32>") },
    code: wgsl`
${particle}
fn tangent_dot${signature} {
  ${index}
  if (p >= params.capacity) { return; }
  var total = 0.0;
  for (var s = 0u; s < params.tangents; s++) {
#if ${basis}
    let value = products[(s * params.dim + params.first + s) * params.capacity + p];
#else
    var value = 0.0;
    for (var i = 0u; i < params.dim; i++) {
      let at = (s * params.dim + i) * params.capacity + p;
      value = fma(tangents[at], products[at], value);
    }
#endif
#if ${each}
    let row = (params.first + s) * params.capacity + p;
    // a fresh sum does not read what was there, which may be anything
    sums[row] = fma(params.weight, value, select(0.0, sums[row], params.begin == 0u));
#else
    total += value;
#endif
  }
#if ${!each}
  let before = select(0.0, sums[p], params.begin == 0u);
  sums[p] = fma(params.weight, total, before);
#endif
}
`,
  }),
);

/** Adds weight·(v·Jv): into row 0 of `sums`, or for `each` tangent into its own row. `begin` starts the sum of row 0 anew. */
export function planTangentDot(o: {
  capacity: number;
  dim: number;
  first: number;
  tangents: number;
  weight: Numeric;
  each: boolean;
  begin: boolean;
  basis: boolean;
  products: string;
  tangentInput: string;
  sums: string;
}): Dispatch {
  const { capacity, dim, first, tangents, weight, each, basis, products, sums } = o;
  return dispatchOf(tangentDotKernel({ basis, each }), {
    params: { capacity, dim, first, tangents, weight, begin: o.begin ? 1 : 0 },
    buffers: { products, sums, tangents: basis ? undefined : o.tangentInput },
    ...perParticle(capacity, 2 * dim * tangents),
  });
}
