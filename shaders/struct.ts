/*
 * A struct that the host writes and a shader reads, declared once and by name: its WGSL and the places of its words come from here.
 */

const widths = { u32: 1, f32: 1, vec2f: 2, vec4f: 4 } as const;
type Type = keyof typeof widths;

/** Fields by name, in the order of the struct. */
export type StructFields = Readonly<Record<string, Type>>;

export interface Struct<F extends StructFields> {
  readonly text: string;
  readonly fields: F;
  /** How many words it takes. */
  readonly words: number;
  /** Where the first word of each field is. */
  readonly at: { readonly [Name in keyof F]: number };
}

/** Vectors begin at a multiple of their size, and so does the next struct behind this one. */
export function struct<const F extends StructFields>(name: string, fields: F): Struct<F> {
  const at: Record<string, number> = {};
  let [words, widest] = [0, 1];
  const to = (width: number) => Math.ceil(words / width) * width;
  for (const [field, type] of Object.entries(fields)) {
    const width = widths[type];
    at[field] = to(width);
    words = to(width) + width;
    widest = Math.max(widest, width);
  }
  const members = Object.entries(fields).map(([field, type]) => `${field}: ${type}`);
  return { text: `struct ${name} { ${members.join(", ")} }`, fields, words: to(widest), at: at as Struct<F>["at"] };
}

type Values<F extends StructFields> = {
  readonly [Name in keyof F]: F[Name] extends "vec2f" | "vec4f" ? readonly number[] : number;
};

/** The numbers of a struct of floats, those between its fields 0. */
export function numbersOf<F extends StructFields>({ words, at }: Struct<F>, values: Values<F>): number[] {
  const numbers = new Array<number>(words).fill(0);
  for (const [name, value] of Object.entries(values))
    for (const [i, number] of [value].flat().entries()) numbers[(at[name] as number) + i] = number;
  return numbers;
}
