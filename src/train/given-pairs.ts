import { rowsInFlow } from "../data/transform-maps.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, particleCount } from "../flow/rows.ts";
import { type SourceSpec, samplesSpec } from "../flow/source.ts";
import { item } from "../must.ts";
import { checked, later, type Schema, word } from "../options/schema.ts";
import { show } from "../options.ts";
import type { GivenPairs } from "./coupling-options.ts";
import type { FlowMatchingOptions } from "./flow-matching-options.ts";
import type { ValidationOptions } from "./options.ts";
import type { FlowMatchingPlan } from "./plan.ts";

/** Pairs that are given: row i of the source belongs to row i of the data. */
export interface GivenPlan {
  /** Where pairs are steps between times of their own: [rows] of (start, 1/length), which lie behind the source on the device. */
  readonly steps: Float32Array<ArrayBuffer> | undefined;
  /** What a checkpoint remembers. */
  readonly made: unknown;
}

const fields = {
  method: { check: word("paired"), required: true },
  from: { check: later<Float32Array> },
  to: { check: later<Float32Array> },
} satisfies Schema<GivenPairs>;

export const isGiven = (coupling: FlowMatchingOptions["coupling"]): coupling is "paired" | GivenPairs =>
  coupling === "paired" || (typeof coupling === "object" && coupling.method === "paired");

/** Checks pairs that are given: `coupling: "paired"`, or its details. */
export function givenPlan(
  what: string,
  coupling: "paired" | GivenPairs,
  { rows, options, path, source }: FlowMatchingPlan,
): GivenPlan {
  const name = `${what}: coupling`;
  const given = typeof coupling === "string" ? { method: coupling } : coupling;
  const { from, to } = checked(name, fields, given, `${name}.`);
  if (options.source === undefined)
    throw invalid(`${name} is "paired", but there is no source: pass source, whose row i belongs to row i of the data`);
  checkPartners(what, source.parts, rows);
  if (from === undefined && to === undefined) return { steps: undefined, made: "paired" };
  const { time, weighting, bridge } = options;
  for (const [option, value] of Object.entries({ path, time, weighting, bridge }))
    if (value !== undefined)
      throw invalid(`${what}: ${option} was given, but pairs with times of their own are not on a path: leave it out`);
  return { steps: stepsOf(name, from, to, rows), made: { method: "paired", from, to } };
}

function checkPartners(what: string, starts: number, rows: number): void {
  if (starts !== rows)
    throw invalid(
      `${what}: source has ${starts} rows and data ${rows}, but with coupling "paired" row i of the one belongs to row i of the other: pass as many`,
    );
}

/** [rows] of (start, 1/length). */
function stepsOf(name: string, from: unknown, to: unknown, rows: number): Float32Array<ArrayBuffer> {
  for (const [end, times] of Object.entries({ from, to })) {
    if (!(times instanceof Float32Array) || times.length !== rows)
      throw invalid(`${name}.${end} is ${show(times)}, but ${rows} pairs need a Float32Array of ${rows} times`);
    checkAllFinite(name, end, times, 1);
  }
  const [starts, ends] = [from as Float32Array, to as Float32Array];
  const steps = new Float32Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    const [start, end] = [item(starts, row), item(ends, row)];
    const rate = Math.fround(1 / (end - start));
    if (!Number.isFinite(rate))
      throw invalid(`${name}: row ${row} goes from time ${start} to ${end}, but these must be apart`);
    steps[2 * row] = start;
    steps[2 * row + 1] = rate;
  }
  return steps;
}

/** The source of validation data, where pairs are given. */
export function heldOutSource(
  what: string,
  flow: Flow,
  { data, source }: ValidationOptions,
  given: GivenPlan,
): SourceSpec {
  const name = `${what}: validation`;
  if (given.steps)
    throw invalid(
      `${name} was given, but pairs with times of their own have no loss of other rows: leave it out, and compare samples`,
    );
  if (source === undefined)
    throw invalid(
      `${name}.source is missing, but with coupling "paired" each row of the data has one: pass it, [n, ${flow.dim}]`,
    );
  const starts = particleCount(name, "source", source, flow.dim, "data");
  checkPartners(name, starts, data.length / flow.dim);
  checkAllFinite(name, "source", source, flow.dim);
  return samplesSpec(rowsInFlow(name, "source", source as DataRows, flow), flow.dim);
}
