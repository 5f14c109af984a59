import { item } from "../must.ts";
import type { Expression, ModuleNode, TypeNode } from "./syntax.ts";
import { unsupported } from "./tokens.ts";
import { concrete, type Scalar, scalar, type Type } from "./types.ts";

export interface Variable {
  readonly type: Type;
  /** Name of the variable that holds the derivative; absent where that is zero. */
  readonly derivative?: string | undefined;
}

/** Names of a function, block within block, behind them those of the module. */
export class Scope {
  readonly #blocks: Map<string, Variable>[] = [new Map()];

  declare(name: string, variable: Variable): void {
    this.#blocks.at(-1)?.set(name, variable);
  }

  get(name: string): Variable | undefined {
    return this.#blocks.findLast((block) => block.has(name))?.get(name);
  }

  /** What `make` declares is gone afterwards. */
  within<T>(make: () => T): T {
    this.#blocks.push(new Map());
    const made = make();
    this.#blocks.pop();
    return made;
  }
}

const scalars: Readonly<Record<string, Scalar>> = { f32: "f32", i32: "i32", u32: "u32", bool: "bool" };
const letters: Readonly<Record<string, Scalar>> = { f: "f32", i: "i32", u: "u32" };

/** The type of a name and its template arguments; undefined when there is none of that name, "open" parts are told by the caller. */
export function resolveType(module: ModuleNode, node: TypeNode, source: string): Type {
  const { name, args, line } = node;
  const plain = scalars[name];
  if (plain) return scalar(plain);
  const vector = /^vec([234])([fiu]?)$/.exec(name);
  if (vector) {
    const [size, letter] = [item(vector, 1), item(vector, 2)];
    const element =
      args[0] && "args" in args[0] && !("kind" in args[0]) ? resolveType(module, args[0], source) : undefined;
    const of = letters[letter] ?? (element?.kind === "scalar" ? element.of : undefined);
    if (of) return { kind: "vector", size: Number(size), of };
  }
  if (name === "array" && args.length === 2) {
    const [element, size] = args as [TypeNode, Expression];
    return {
      kind: "array",
      of: concrete(resolveType(module, element, source)),
      size: source.slice(size.start, size.end),
    };
  }
  const alias = module.aliases.get(name);
  if (alias) return resolveType(module, alias, source);
  throw unsupported(/^mat/.test(name) ? `a matrix (${name})` : name === "ptr" ? "a pointer" : `the type ${name}`, line);
}

/** Whether a call of this name makes a value of a type. */
export function isConstructor(module: ModuleNode, name: string): boolean {
  return Object.hasOwn(scalars, name) || /^(vec[234][fiu]?|array|mat\dx\d\w?)$/.test(name) || module.aliases.has(name);
}
