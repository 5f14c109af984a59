/** How a kernel sees one of its bindings. `params` is a small uniform block that changes with every dispatch. */
export type Access = "params" | "uniform" | "read" | "write";

/** One compute shader: its text is the key under which the pipeline is cached. Bindings are group 0, in order. */
export interface Kernel {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  readonly bindings: readonly Access[];
}
