import { must } from "../must.ts";
/** Types of values; "int" and "float" are those of literals, which become i32 and f32 where they are stored. */
export type Scalar = "f32" | "i32" | "u32" | "bool" | "int" | "float";
export type Type =
  | { readonly kind: "scalar"; readonly of: Scalar }
  | { readonly kind: "vector"; readonly size: number; readonly of: Scalar }
  | { readonly kind: "array"; readonly size: string; readonly of: Type };

export const scalar = (of: Scalar): Type => ({ kind: "scalar", of });

const stored = (of: Scalar) => (of === "int" ? "i32" : of === "float" ? "f32" : of);

/** The type as a variable has it. */
export function concrete(type: Type): Type {
  return type.kind === "array" ? { ...type, of: concrete(type.of) } : { ...type, of: stored(type.of) };
}

export function typeText(type: Type): string {
  if (type.kind === "array") return `array<${typeText(type.of)}, ${type.size}>`;
  return type.kind === "vector" ? `vec${type.size}<${stored(type.of)}>` : stored(type.of);
}

/** Whether values of the type have derivatives. */
export function isReal(type: Type): boolean {
  return type.kind === "array" ? isReal(type.of) : type.of === "f32" || type.of === "float";
}

export const zero = (type: Type): string => (type.kind === "scalar" ? "0.0" : `${typeText(type)}()`);

/** The type of a sum, product or other componentwise operation. */
export function joined(a: Type, b: Type): Type | undefined {
  if (a.kind === "array" || b.kind === "array") return undefined;
  const order: readonly Scalar[] = ["f32", "u32", "i32", "bool", "float", "int"];
  const of = must(
    order.find((each) => each === a.of || each === b.of),
    "the type of a sum",
  );
  const size = a.kind === "vector" ? a.size : b.kind === "vector" ? b.size : 0;
  return size > 0 ? { kind: "vector", size, of } : { kind: "scalar", of };
}
