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

/** Words of params blocks, as integers and as floats. */
export interface Words {
  readonly integers: Uint32Array<ArrayBuffer>;
  readonly floats: Float32Array<ArrayBuffer>;
}

/** Room for so many params blocks. */
export function wordsOf(blocks: number): Words {
  const bytes = new ArrayBuffer(paramsBytes * blocks);
  return { integers: new Uint32Array(bytes), floats: new Float32Array(bytes) };
}

const fieldsOf = new WeakMap<Params, [name: string, type: "u32" | "f32"][]>();

/** A number that is an element of a table, times a factor: it is read when a dispatch is encoded, so a plan outlives changes of the table. */
export interface Entry {
  readonly table: Float32Array;
  readonly at: number;
  readonly by: number;
}

export type Numeric = number | Entry;

/** The number of this moment. */
export const currently = (of: Numeric): number => (typeof of === "number" ? of : (of.table[of.at] as number) * of.by);

/** That many times the number. */
export const scaled = (of: Numeric, by: number): Numeric =>
  typeof of === "number" ? of * by : { ...of, by: of.by * by };

/** Writes the numbers of a params block as the words of its struct, in place of some of them the entries; it is done for every dispatch. */
export function pack(
  params: Params,
  numbers: Readonly<Record<string, number>>,
  into: Words,
  block: number,
  entries?: Readonly<Record<string, Entry>>,
): void {
  let fields = fieldsOf.get(params);
  if (!fields) {
    fields = declared(params);
    fieldsOf.set(params, fields);
  }
  let at = (paramsBytes / 4) * block;
  // a dispatch has all of them: see dispatchOf
  for (const [name, type] of fields)
    (type === "u32" ? into.integers : into.floats)[at++] = currently(entries?.[name] ?? (numbers[name] as number));
}

const spaces = { uniform: "uniform", read: "storage, read", write: "storage, read_write" } as const;

/** The declaration of a kernel's buffer, counted from 0, behind the params. */
export const bindingText = (name: string, { access, type }: Binding, i: number) =>
  `@group(0) @binding(${i + 1}) var<${spaces[access]}> ${name}: ${type};`;

/** Module-scope text: the struct of the params, which are binding 0, and the buffers behind it. Names get the `prefix`. */
export function declarationText(params: Params, buffers: Buffers, prefix: string): string {
  const struct = prefix === "" ? "Params" : "PfParams";
  const fields = declared(params).map(([name, type]) => `${name}: ${type}`);
  const bindings = declared(buffers).map(([name, binding], i) => bindingText(prefix + name, binding, i));
  return `struct ${struct} { ${fields.join(", ")} }
@group(0) @binding(0) var<uniform> ${prefix}params: ${struct};
${bindings.join("\n")}`;
}
