import { wgsl } from "./wgsl.ts";

/**
 * Text that writes the time rows of a network's input behind its `dim` rows of x: t, or sin 2πjt, cos 2πjt for j = 1 … fourier.
 * In scope: inputs, params.dim, params.capacity, p, time, and sin_cos_two_pi when there are frequencies.
 */
export const timeRows = (fourier: number): string => wgsl`
#if ${fourier === 0}
  inputs[params.dim * params.capacity + p] = time;
#else
  for (var j = 0u; j < ${fourier}u; j++) {
    let wave = sin_cos_two_pi(f32(j + 1u) * time);
    inputs[(params.dim + 2u * j) * params.capacity + p] = wave.x;
    inputs[(params.dim + 2u * j + 1u) * params.capacity + p] = wave.y;
  }
#endif
`;
