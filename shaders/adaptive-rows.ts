// What a particle of an adaptive solve keeps, and how the kernels of the solve name it.
import { read, several, write } from "./interface.ts";
import { index } from "./particles.ts";
import { lines } from "./wgsl.ts";

/** Why a particle's solve has ended; `running` where it has not. */
export const statuses = { done: 0, stepLimit: 1, stepUnderflow: 2, nonFinite: 3, running: 255 } as const;

/** What a particle keeps beside its state, its next state and a slope for each stage: rows behind those, one value each. */
export const ownRows = [
  "time",
  "time_low",
  "size",
  "step",
  "goal",
  "status",
  "accepted",
  "rejected",
  "base",
  "lands",
  "end",
] as const;

/** Rows of the buffer that holds a solve, for particles with `components` values: the state and what is integrated with it. */
export function solveRows(components: number, stages: number): number {
  return (2 + stages) * components + ownRows.length;
}

/** Coefficients of a stage; the first has none. */
export const coefficients = (stages: number) => several("a", stages - 1, "f32");

export const solveParams = (stages: number) =>
  ({
    capacity: "u32",
    stride: "u32",
    dim: "u32",
    rows: "u32",
    from_list: "u32",
    to_list: "u32",
    count: "u32",
    stage: "u32",
    rtol: "f32",
    atol: "f32",
    start: "f32",
    span: "f32",
    least: "f32",
    max_steps: "u32",
    goals: "u32",
    c: "f32",
    ...coefficients(stages),
  }) as const;

export const floats = "array<f32>";
export const words = "array<u32>";

/** What the field gave for the particles that are still at work: their list, and its length among the two that alternate. */
export const evaluated = (tracks: boolean) => ({
  solve: write(floats),
  divergence: tracks && read(floats),
  velocity: read(floats),
  list: read(words),
  lengths: read(words),
});

/** Buffers [row][capacity]: the particle's own rows by name, its state by component. */
export const layout = (stages: number) => `fn components() -> u32 { return params.dim + params.rows; }
fn now(i: u32, q: u32) -> u32 { return i * params.capacity + q; }
fn next(i: u32, q: u32) -> u32 { return (components() + i) * params.capacity + q; }
fn slope(s: u32, i: u32, q: u32) -> u32 { return ((2u + s) * components() + i) * params.capacity + q; }
${lines(ownRows.length, (k) => `fn at_${ownRows[k]}(q: u32) -> u32 { return (${2 + stages}u * components() + ${k}u) * params.capacity + q; }`)}
// by the bits: comparisons with NaN may be optimised away
fn is_finite(value: f32) -> bool { return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u; }
// whole numbers are kept as floats, exact below 2^24: the bits of small ones would be denormal
fn whole(at: u32) -> u32 { return u32(solve[at]); }
fn keep_whole(at: u32, value: u32) { solve[at] = f32(value); }
`;

/** The particle p of the list: q in the rows of the solve. */
export const member = `${index}
  if (p >= lengths[params.from_list]) { return; }
  let q = list[p];`;
