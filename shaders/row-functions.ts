import { item, must } from "../src/must.ts";
import type { RowFunction } from "../src/network/program.ts";
import { cosineQuarter, halfPi, sineQuarter } from "../src/random/polynomials.ts";
import { activationText, activationTexts } from "./activation.ts";
import { bentActivationText } from "./curvature.ts";
import { f32, horner, wgsl } from "./wgsl.ts";

/** The functions that a cluster's results are, which need declarations. */
interface ResultFunctions {
  readonly results: readonly { readonly function: RowFunction | { readonly name: "total" } }[];
}

/** sin 2πz and cos 2πz on vectors; whole turns are taken away exactly. The polynomials are those of random.ts. */
const turnsText = (v: string): string => wgsl`
struct Turned { sine: ${v}, cosine: ${v} }
fn turned(z: ${v}) -> Turned {
  let turn = z - round(z);
  let quarter = round(4.0 * turn);
  let x = 4.0 * turn - quarter;
  let q = x * x;
  let s = x * ${f32(halfPi.high)} + x * (${f32(halfPi.low)} + q * ${horner(sineQuarter, "q")});
  let c = 1.0 + q * ${horner(cosineQuarter, "q")};
  let odd = abs(quarter) == ${v}(1.0);
  let sine = select(s, c, odd);
  let cosine = select(c, -s, odd);
  // quarter is −2 … 2; a turn back is a turn forward with the other sign
  let flipped = (quarter == ${v}(-1.0)) | (abs(quarter) == ${v}(2.0));
  return Turned(select(sine, -sine, flipped), select(cosine, -cosine, flipped));
}
`;

const functionName = (activation: string) => `act_${activation}`;

/** Declarations that the functions of some clusters need, on the type v. */
export function rowFunctions(shapes: readonly ResultFunctions[], v: string): string {
  const highest = new Map<string, number>();
  let turns = false;
  for (const { results } of shapes)
    for (const { function: f } of results) {
      if (f.name === "activate") highest.set(f.activation, Math.max(f.order, highest.get(f.activation) ?? 0));
      if (f.name === "sine of turns" || f.name === "cosine of turns") turns = true;
    }
  const texts = [...highest].map(([activation, order]) =>
    (order === 2 ? bentActivationText : activationText)(activation, v, functionName(activation), false),
  );
  const helpers = new Set(
    [...highest.keys()].map((activation) =>
      must(activationTexts[activation], `the text of "${activation}"`).helpers(v),
    ),
  );
  return [...helpers, ...texts, ...(turns ? [turnsText(v)] : [])].join("\n");
}

/** The value of a function of values; activations and waves are asked for once and shared by those that want another part. */
export function resultText(
  f: RowFunction,
  of: readonly string[],
  shared: (call: string, name: string) => string,
  highest: (activation: string, argument: string) => number,
): string {
  const a = item(of, 0);
  const [, b = ""] = of;
  switch (f.name) {
    case "add":
      return `${a} + ${b}`;
    case "subtract":
      return `${a} - ${b}`;
    case "multiply":
      return `${a} * ${b}`;
    case "scale":
      return `${f32(f.by)} * ${a}`;
    case "shift":
      return `${a} + ${f32(f.by)}`;
    case "repeat":
      return a;
    case "inverse root":
      return `inverse_root(${a})`;
    case "sine of turns":
      return `${shared(`turned(${a})`, `turned_${a}`)}.sine`;
    case "cosine of turns":
      return `${shared(`turned(${a})`, `turned_${a}`)}.cosine`;
    case "activate": {
      const name = functionName(f.activation);
      const order = highest(f.activation, a);
      if (order === 0) return `${name}(${a})`;
      const call = order === 1 ? `${name}_with_slope(${a})` : `${name}_with_curvature(${a})`;
      return `${shared(call, `${name}_${a}`)}.${["value", "slope", "curvature"][f.order]}`;
    }
  }
}

/** 1/√z with Newton's step, since WGSL's own promises less than f32 has. */
export const inverseRoot = (v: string): string => wgsl`
fn inverse_root(z: ${v}) -> ${v} {
  let r = inverseSqrt(z);
  return r * (1.5 - 0.5 * z * r * r);
}
`;

/** The upper twelve bits of a number, and the rest of what f32 has. */
function halves(value: number): [high: number, low: number] {
  const single = Math.fround(value);
  const words = new Uint32Array(Float32Array.of(single).buffer);
  words[0] = (words[0] as number) & 0xfffff000;
  const high = new Float32Array(words.buffer)[0] as number;
  return [high, single - high];
}

/** Names of an input of a projection, and of its upper twelve bits and the rest. */
export type ProjectedName = (part: "x" | "high" | "low", input: number) => string;

/** Statements that name an input of a projection. */
export function projectedInput(value: string, input: number, turns: boolean, v: string, name: ProjectedName): string {
  const [x, high, low] = (["x", "high", "low"] as const).map((part) => name(part, input));
  const bits = v === "f32" ? "u32" : v.replace("f", "u");
  const halved = `
let ${high} = bitcast<${v}>(bitcast<${bits}>(${x}) & ${bits}(0xfffff000u));
let ${low} = ${x} - ${high};`;
  return `let ${x} = ${value};${turns ? halved : ""}`;
}

/** A row of a projection. */
export function projectedRow(row: readonly number[], turns: boolean, v: string, name: ProjectedName): string {
  const terms = row.flatMap((factor, j) => {
    if (factor === 0) return [];
    if (!turns) return [`${f32(factor)} * ${name("x", j)}`];
    return halves(factor).flatMap((part) =>
      part === 0 ? [] : (["high", "low"] as const).map((half) => `fraction(${f32(part)} * ${name(half, j)})`),
    );
  });
  return terms.length === 0 ? `${v}(0.0)` : terms.join(" + ");
}

/** What {@link projectedRow} calls. */
export const fractionText = (v: string): string => `fn fraction(z: ${v}) -> ${v} { return z - round(z); }`;
