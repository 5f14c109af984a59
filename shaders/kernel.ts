/** How a kernel sees one of its bindings. `params` is a small uniform block that changes with every dispatch. */
export type Access = "params" | "uniform" | "read" | "write";

/** One compute shader: its text is the key under which the pipeline is cached. Bindings are group 0, in order. */
export interface Kernel {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  readonly bindings: readonly Access[];
}

/** Makes each kernel once per shape: plans ask for the same few shapes again and again. */
export function oncePerShape<Shape extends object>(make: (shape: Shape) => Kernel): (shape: Shape) => Kernel {
  const made = new Map<string, Kernel>();
  return (shape) => {
    const key = JSON.stringify(shape);
    let kernel = made.get(key);
    if (!kernel) {
      kernel = make(shape);
      made.set(key, kernel);
    }
    return kernel;
  };
}
