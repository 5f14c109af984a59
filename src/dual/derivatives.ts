import { parse } from "./parse.ts";
import { resolveType } from "./scope.ts";
import { FunctionWriter } from "./statements.ts";
import type { FunctionNode } from "./syntax.ts";
import { unsupported } from "./tokens.ts";
import { isReal, typeText } from "./types.ts";

/** Dimensions up to which the trace is written out, so that a compiler can drop the zeros of each basis vector. */
const writtenOut = 4;

/**
 * WGSL that differentiates the user's `velocity(t, x)` with respect to x by dual numbers: every real variable gets a second
 * one that carries its derivative along a tangent, and every operation the chain rule (forward mode; Griewank & Walther 2008, ch. 3).
 * The text goes behind the user's code and defines
 * `pf_forward(t, x, v)` = (u, J v), `pf_reverse(t, x, w)` = (u, Jᵀ w) and `pf_trace(t, x)` = tr J, the divergence.
 * Where a function has a kink (abs, min, max, clamp, select, branches) the derivative is that of the branch taken.
 *
 * @throws PushforwardError `unsupported`, with the line, for what it does not know: matrices, structs, pointers, switch, textures.
 */
export function derivativesOf(source: string, dim: number): string {
  try {
    return derivatives(source, dim);
  } catch (error) {
    // a chain of thousands of terms or functions, which no depth of brackets shows
    if (!(error instanceof RangeError)) throw error;
    throw unsupported("functions or terms that lead through thousands of others", 1);
  }
}

function derivatives(source: string, dim: number): string {
  const module = parse(source);
  const velocity = module.functions.get("velocity");
  if (!velocity) throw unsupported("no fn velocity", 1);
  const written = new Map<string, string>();
  const pairs = new Map<string, string>();
  const open = new Set<string>();
  const derivativeOf = (made: FunctionNode, active: readonly boolean[]): string => {
    const name = `pf_d_${made.name}_${active.map(Number).join("")}`;
    if (written.has(name) || !made.result) return name;
    if (open.has(made.name)) throw unsupported(`fn ${made.name} that calls itself`, made.line);
    open.add(made.name);
    const result = resolveType(module, made.result, source);
    const type = typeText(result);
    const pair = `PfDual_${type.replace(/\W+/g, "_")}`;
    pairs.set(pair, `struct ${pair} { value: ${type}, derivative: ${type} }`);
    written.set(name, new FunctionWriter({ module, source, derivativeOf }, result, pair).write(name, made, active));
    open.delete(made.name);
    return name;
  };
  const result = velocity.result && resolveType(module, velocity.result, source);
  if (velocity.parameters.length !== 2 || result?.kind !== "array" || !isReal(result))
    throw unsupported(
      "another velocity than fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM>",
      velocity.line,
    );
  const name = derivativeOf(velocity, [false, true]);
  const basis = (i: number) => Array.from({ length: dim }, (_, k) => (k === i ? "1.0" : "0.0")).join(", ");
  const trace =
    dim <= writtenOut
      ? `return ${Array.from({ length: dim }, (_, i) => `${name}(t, x, array<f32, DIM>(${basis(i)})).derivative[${i}]`).join(" + ")};`
      : `var sum = 0.0;
for (var i = 0; i < DIM; i++) {
var basis = array<f32, DIM>();
basis[i] = 1.0;
sum += ${name}(t, x, basis).derivative[i];
}
return sum;`;
  return `
${[...pairs.values(), ...written.values()].join("\n")}
struct PfProduct { velocity: array<f32, DIM>, product: array<f32, DIM> }
fn pf_forward(t: f32, x: array<f32, DIM>, v: array<f32, DIM>) -> PfProduct {
let both = ${name}(t, x, v);
return PfProduct(both.value, both.derivative);
}
// (Jᵀ w)_i = ⟨w, J e_i⟩
fn pf_reverse(t: f32, x: array<f32, DIM>, w: array<f32, DIM>) -> PfProduct {
var made: PfProduct;
for (var i = 0; i < DIM; i++) {
var basis = array<f32, DIM>();
basis[i] = 1.0;
let both = ${name}(t, x, basis);
made.velocity = both.value;
for (var k = 0; k < DIM; k++) { made.product[i] += w[k] * both.derivative[k]; }
}
return made;
}
fn pf_trace(t: f32, x: array<f32, DIM>) -> f32 {
${trace}
}
`;
}
