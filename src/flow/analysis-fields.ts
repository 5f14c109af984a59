import { readable } from "../arrays.ts";
import { without } from "../options/part.ts";
import { finite, later, type Schema, type Travels } from "../options/schema.ts";
import type { Cells } from "./cells.ts";
import { flowTime, logProbFields, sampleFields } from "./fields.ts";
import type { ContinuityOptions, DensityGridOptions, HistogramOptions, MomentOptions } from "./options.ts";

/*
 * The schemas of calls that a page loads when they are first asked for: see on-demand.ts.
 */

/** Of {@link Flow.meanLogProb}, of which only sums come back. */
export const meanLogProbFields = without(logProbFields, "output");

/** Of what sums samples up. */
const sumFields = without(sampleFields, "output", "saveAt", "logProb");

export const momentFields = {
  ...sumFields,
  logProb: sampleFields.logProb,
} satisfies Schema<MomentOptions, Travels>;

export const histogramFields = {
  ...sumFields,
  axes: { check: later<[number, number]>, travels: "call" },
  bins: { check: later<HistogramOptions["bins"]>, required: true, travels: "call" },
  range: { check: later<HistogramOptions["range"]>, required: true, travels: "call" },
} satisfies Schema<HistogramOptions, Travels>;

/** Of {@link Flow.flux}, whose time is an argument. */
export const fluxFields = without(logProbFields, "at");

/** Of log p at the cells of a grid, where no particle has anything of its own. */
const gridFields = {
  box: { check: later<Cells["box"]>, required: true },
  cells: { check: later<Cells["cells"]>, required: true },
  ...without(logProbFields, "labels", "context", "at", "output", "count"),
  label: { check: later<number> },
  context: { check: (name: string, value: unknown) => readable(name, value as Float32Array) },
} as const;

export const densityGridFields = {
  ...gridFields,
  at: logProbFields.at,
} satisfies Schema<DensityGridOptions>;

export const continuityFields = {
  ...gridFields,
  t: { check: flowTime, required: true },
  timeStep: { check: finite(1e-4, 0.25), fallback: 0.01 },
} satisfies Schema<ContinuityOptions>;
