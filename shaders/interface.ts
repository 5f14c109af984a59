import { must } from "../src/must.ts";

/*
 * What a kernel takes, declared once and by name: the numbers of its params and its buffers. Their WGSL, the bytes of the params and
 * the types of what a dispatch must give all come from these declarations.
 */

/** Numbers by name, in the order of the struct; false where a shape has none of that name. There are no vectors, so there are no gaps. */
export type Params = Readonly<Record<string, "u32" | "f32" | false>>;

/** Bytes of a params block, which is bound as a whole; `minUniformBufferOffsetAlignment` is at most this on every adapter. */
export const paramsBytes = 256;

/** How a kernel sees a buffer. */
export type Access = "uniform" | "read" | "write";

export interface Binding {
  readonly access: Access;
  /** In WGSL. */
  readonly type: string;
}

/** Buffers by name; false where a shape has none of that name. */
export type Buffers = Readonly<Record<string, Binding | false>>;

export const uniform = (type: string): Binding => ({ access: "uniform", type });
export const read = (type: string): Binding => ({ access: "read", type });
export const write = (type: string): Binding => ({ access: "write", type });

/** A value for each name that is declared; undefined where a shape has none of that name. */
export type Given<Declared, Value> = {
  readonly [Name in keyof Declared]: Value | (false extends Declared[Name] ? undefined : never);
};

/** The names that a shape has, and their declarations, in order. */
export function declared<T>(declarations: Readonly<Record<string, T | false>>): [name: string, declaration: T][] {
  return Object.entries(declarations).filter((entry): entry is [string, T] => entry[1] !== false);
}

/** `{ k0: …, k1: … }` of a list: names that a shape has several of. */
export function numbered<Name extends string, T>(name: Name, list: readonly T[]): Record<`${Name}${number}`, T> {
  const all = {} as Record<`${Name}${number}`, T>;
  for (const [i, value] of list.entries()) all[`${name}${i}`] = value;
  return all;
}

/** The same declaration for each of these. Types know nothing of them: whether a dispatch gives them is seen when it is planned. */
export const several = <Name extends string, const T>(
  name: Name,
  count: number,
  declaration: T,
): Record<`${Name}${number}`, T> =>
  numbered(
    name,
    Array.from({ length: count }, () => declaration),
  );

/** Writes the numbers of a params block as the bytes of its struct. */
export function pack(params: Params, numbers: Readonly<Record<string, number>>, into: DataView, offset: number): void {
  let at = offset;
  for (const [name, type] of declared(params)) {
    const value = must(numbers[name], `the param ${name}`);
    if (type === "u32") into.setUint32(at, value, true);
    else into.setFloat32(at, value, true);
    at += 4;
  }
}

const spaces = { uniform: "uniform", read: "storage, read", write: "storage, read_write" } as const;

/** Module-scope text: the struct of the params, which are binding 0, and the buffers behind it. Names get the `prefix`. */
export function declarationText(params: Params, buffers: Buffers, prefix: string): string {
  const struct = prefix === "" ? "Params" : "PfParams";
  const fields = declared(params).map(([name, type]) => `${name}: ${type}`);
  const bindings = declared(buffers).map(
    ([name, { access, type }], i) => `@group(0) @binding(${i + 1}) var<${spaces[access]}> ${prefix}${name}: ${type};`,
  );
  return `struct ${struct} { ${fields.join(", ")} }
@group(0) @binding(0) var<uniform> ${prefix}params: ${struct};
${bindings.join("\n")}`;
}
