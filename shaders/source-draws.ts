import { hasParts, type SourceKind } from "./source-kinds.ts";
import { wgsl } from "./wgsl.ts";

/** The draw by which it does so: no value of a particle has that number. */
export const partDraw = 2 ** 32 - 1;

/*
 * WGSL of a draw from a source, by the number `start_low`, `start_high` of a particle and `key`; the kernel has the functions of `random`
 * and the params dim, stream_source and, where the source has parts, `parts`. The numbers of the source are in the array `numbers`, from
 * element `at` on: [dim] means, [dim] standard deviations; or low, high; or, of a mixture, [parts][dim] of each, [parts] cumulative weights
 * and [parts] log-densities at the means; or [parts][dim] samples. drawStarts in src/train/starts.ts is the twin.
 */

/** The part of the source that a particle starts from. */
export const startPart = (kind: SourceKind, numbers: string, at: string) => wgsl`#if ${hasParts(kind)}
  let part_words = philox(vec4u(start_low, start_high, ${partDraw}u, params.stream_source), key);
#endif
#if ${kind === "samples"}
  let part = random_index(part_words.x, params.parts);
#elif ${kind === "mixture"}
  let part_level = uniform01(part_words.x);
  var part = 0u;
  while (part + 1u < params.parts && part_level > ${numbers}[${at} + 2u * params.parts * params.dim + part]) { part++; }
#endif`;

/** The `draws` of which its values from dimension `first` on are made: value j of a particle is lane j mod 4 of draw j div 4. */
export const startDraws = (kind: SourceKind) => wgsl`#if ${kind !== "samples"}
    let bits = philox(vec4u(start_low, start_high, first / 4u, params.stream_source), key);
#if ${kind === "uniform"}
    let draws = vec4f(uniform01(bits.x), uniform01(bits.y), uniform01(bits.z), uniform01(bits.w));
#else
    let draws = normal4(bits);
#endif
#endif`;

/** The value `start` of dimension i = first + j: mean + std·normal, low + (high − low)·uniform, or that of the sample. */
export const startValue = (kind: SourceKind, numbers: string, at: string) => wgsl`#if ${kind === "samples"}
      let start = ${numbers}[${at} + part * params.dim + i];
#else
#if ${kind === "mixture"}
      let a = ${numbers}[${at} + part * params.dim + i];
      let b = ${numbers}[${at} + (params.parts + part) * params.dim + i];
#else
      let a = ${numbers}[${at} + i];
      let b = ${numbers}[${at} + params.dim + i];
#endif
      let start = fma(${kind === "uniform" ? "b - a" : "b"}, draws[j], a);
#endif`;
