import { type Access as BufferAccess, type Buffers, declarationText, declared, type Params } from "./interface.ts";

export type Access = "params" | BufferAccess;

/** One compute shader: its text is the key under which the pipeline is cached. */
export interface Kernel<P extends Params = Params, B extends Buffers = Buffers> {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  readonly params: P;
  readonly buffers: B;
  readonly bindings: readonly Access[];
}

/** A kernel from its declarations and the text that uses them. */
export function kernel<P extends Params, B extends Buffers>({
  code,
  enable = [],
  prefix = "",
  ...own
}: Omit<Kernel<P, B>, "bindings"> & {
  /** Extensions of WGSL. */
  readonly enable?: readonly string[];
  /** "pf_" where the text may hold a user's names. */
  readonly prefix?: "" | "pf_";
}): Kernel<P, B> {
  const enables = enable.map((extension) => `enable ${extension};\n`).join("");
  const declarations = declarationText(own.params, own.buffers, prefix);
  const bindings = ["params" as const, ...declared(own.buffers).map(([, { access }]) => access)];
  return { ...own, bindings, code: `${enables}${declarations}\n${code}` };
}

/** Makes each kernel once per shape: plans ask for the same few shapes again and again. */
export function oncePerShape<Shape extends object, K extends Kernel>(make: (shape: Shape) => K): (shape: Shape) => K {
  const made = new Map<string, K>();
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
