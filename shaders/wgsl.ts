import { wgsl as preprocess } from "wgsl-preprocessor/wgsl-preprocessor.js";

const directives = new Set(["if", "elif", "else", "endif"]);

/**
 * Template tag for WGSL with `#if ${condition}` … `#elif ${condition}` … `#else` … `#endif`.
 *
 * A strict wrapper of `wgsl-preprocessor`: unknown directives, conditions that are not booleans,
 * numbers that are not finite, and `undefined`/`null`/objects are errors instead of broken shaders.
 * Plain numbers are printed as they are; use {@link f32} where WGSL needs a float literal.
 */
export function wgsl(strings: TemplateStringsArray, ...values: (string | number | boolean)[]): string {
  for (const [i, text] of strings.entries()) {
    for (const [directive] of text.matchAll(/#\S*/g)) {
      if (!directives.has(directive.slice(1))) {
        throw new Error(`unknown directive ${directive} in a shader: use #if, #elif, #else or #endif`);
      }
    }
    if (i >= values.length) continue;
    const value = values[i];
    const isCondition = /#(if|elif)\s+$/.test(text);
    if (isCondition !== (typeof value === "boolean")) {
      throw new Error(
        `#if and #elif take a boolean and nothing else does: got ${String(value)} after "${text.slice(-40)}"`,
      );
    }
    if (typeof value === "number" && !Number.isFinite(value)) {
      throw new Error(`the number ${value} cannot be printed into a shader after "${text.slice(-40)}"`);
    }
    if (typeof value !== "boolean" && typeof value !== "number" && typeof value !== "string") {
      throw new Error(
        `a shader takes strings, finite numbers and booleans: got ${String(value)} after "${text.slice(-40)}"`,
      );
    }
  }
  return preprocess(strings, ...values)
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{3,}/g, "\n\n");
}

/** A WGSL f32 literal that reads back as exactly `Math.fround(value)`. */
export function f32(value: number): string {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) throw new Error(`${value} is not a finite f32`);
  const text = String(rounded);
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}

/** 0 … count − 1. */
export const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** `lines(3, (i) => …)`: the given text for i = 0 … count − 1, one per line. */
export function lines(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join("\n");
}

/** Horner's scheme with plain multiplies and adds, constant term first: z may be a number or a vector. */
export function horner(coefficients: readonly number[], z: string): string {
  return coefficients.reduceRight((sum, c) => (sum === "" ? f32(c) : `(${sum} * ${z} + ${f32(c)})`), "");
}

/** Reads all params at once: SwiftShader reads one anew, and checks its place, wherever its name stands. */
export const ownParams = "let params = params;";

/** k / by and k % by for a power of two, by the bits of k where a compiler divides lane by lane (SwiftShader's). */
export const quotientOf = (k: string, by: number, isByBits: boolean) =>
  isByBits ? `(${k} >> ${Math.log2(by)}u)` : `${k} / ${by}u`;
export const restOf = (k: string, by: number, isByBits: boolean) =>
  isByBits ? `(${k} & ${by - 1}u)` : `${k} % ${by}u`;
