import { fault } from "../src/must.ts";
import { type Buffers, declarationText, declared, type Params, paramsBytes } from "./interface.ts";

/** One compute shader: its text is the key under which the pipeline is cached. */
export interface Kernel<P extends Params = Params, B extends Buffers = Buffers> {
  readonly label: string;
  readonly code: string;
  readonly entryPoint: string;
  readonly params: P;
  readonly buffers: B;
}

/** A kernel from its declarations and the text that uses them. */
export function kernel<P extends Params, B extends Buffers>({
  code,
  enable = [],
  prefix = "",
  ...own
}: Kernel<P, B> & {
  /** Extensions of WGSL. */
  readonly enable?: readonly string[];
  /** "pf_" where the text may hold a user's names. */
  readonly prefix?: "" | "pf_";
}): Kernel<P, B> {
  if (4 * declared(own.params).length > paramsBytes) throw fault(`"${own.label}" has too many params`);
  const enables = enable.map((extension) => `enable ${extension};\n`).join("");
  const declarations = declarationText(own.params, own.buffers, prefix);
  return { ...own, code: `${enables}${declarations}\n${code}` };
}

/** Makes a kernel, or what else is not undefined, once per shape: plans ask for the same few shapes again and again. */
export function oncePerShape<Shape extends object, Made>(make: (shape: Shape) => Made): (shape: Shape) => Made {
  const made = new Map<string, Made>();
  return (shape) => {
    const key = JSON.stringify(shape);
    let own = made.get(key);
    if (own === undefined) {
      own = make(shape);
      made.set(key, own);
    }
    return own;
  };
}
