/** Where the parameters of a network lie in the packings that the dense kernels read, and in the flat array. */
export interface WeightPlaces {
  /** First vec4 of W packed [input][output], or transposed, and vec4s of a row. */
  matrix(tensor: string, transposed: boolean): { readonly weights: number; readonly rowVectors: number };
  /** First vec4 of a bias, which is in both. */
  bias(tensor: string, transposed?: boolean): number;
  /** First number in the flat array. */
  offset(tensor: string): number;
}

/** Names of the buffers that hold the parameters. */
export const weightNames = { forward: "weights.forward", backward: "weights.backward", flat: "parameters" } as const;
