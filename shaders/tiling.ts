/**
 * How a fused kernel maps particles and outputs to invocations. An invocation owns `lanes × groups` particles:
 * each number of theirs is held in `groups` vectors of `lanes` components.
 */
export interface Tiling {
  /** Components of the particle vector type: f32, vec2f or vec4f. */
  readonly lanes: 1 | 2 | 4;
  /** Particle vectors per invocation. */
  readonly groups: 1 | 2;
  /** Outputs of a layer that are computed together. */
  readonly outputs: 2 | 4;
  /** Subgroup size when lanes of a subgroup fetch weights for each other; 0 when every invocation reads every weight. */
  readonly gather: number;
  /** Where the packed weights live. */
  readonly space: "uniform" | "storage";
  /** How a layer's outputs are kept until the layer is done: an indexed private array, or a rotation of registers. */
  readonly keep: "array" | "rotate";
  readonly workgroupSize: number;
}

/** The particle vector type. */
export function vectorType(tiling: Tiling): string {
  return tiling.lanes === 1 ? "f32" : `vec${tiling.lanes}f`;
}

/** The vec4 component names, and how a scalar is spread over the particle vector. */
export const components = ["x", "y", "z", "w"] as const;

export function splat(tiling: Tiling, scalar: string): string {
  return tiling.lanes === 1 ? scalar : `${vectorType(tiling)}(${scalar})`;
}
