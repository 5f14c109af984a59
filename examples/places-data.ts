import { fileURLToPath } from "node:url";
import { readCsv } from "../cli/csv.ts";
import { shuffledIndices, takeRows } from "../cli/split.ts";

export interface Places {
  /** Row-major [n, 2]: longitude and latitude in degrees. */
  train: Float32Array;
  validation: Float32Array;
  test: Float32Array;
  /** Rows of the file, those inside the box, and those left when equal places count once. */
  counts: { file: number; inside: number; distinct: number };
}

/** The contiguous United States; Alaska, Hawaii and the territories lie outside. */
export const box = { longitude: [-125, -66.5], latitude: [24.3, 49.5] } as const;

/**
 * The postal codes of the package `vega-datasets`, as places in the contiguous United States. Codes that share one
 * coordinate (post-office boxes at a town's centre, up to 452 of them) count once: else a test row would often lie exactly
 * on a training row, and a density could win by putting all its mass there.
 */
export async function loadPlaces(seed: number): Promise<Places> {
  // The package exports its code alone; its data lie in a folder beside it.
  const file = fileURLToPath(new URL("../data/zipcodes.csv", import.meta.resolve("vega-datasets")));
  const { data, rows } = await readCsv(file, { columns: ["longitude", "latitude"] });
  const { distinct, inside } = distinctPlaces(Float32Array.from(data));
  const order = shuffledIndices(distinct.length / 2, seed);
  const tenth = Math.round(order.length / 10);
  return {
    test: takeRows(distinct, 2, order.subarray(0, tenth)),
    validation: takeRows(distinct, 2, order.subarray(tenth, 2 * tenth)),
    train: takeRows(distinct, 2, order.subarray(2 * tenth)),
    counts: { file: rows, inside, distinct: order.length },
  };
}

/** Places inside the box, each once, in the order in which they first appear. */
export function distinctPlaces(data: Float32Array): { distinct: Float32Array; inside: number } {
  const seen = new Set<string>();
  const kept: number[] = [];
  let inside = 0;
  for (let i = 0; i + 1 < data.length; i += 2) {
    const longitude = data[i] ?? Number.NaN;
    const latitude = data[i + 1] ?? Number.NaN;
    if (!(longitude > box.longitude[0] && longitude < box.longitude[1])) continue;
    if (!(latitude > box.latitude[0] && latitude < box.latitude[1])) continue;
    inside++;
    const key = `${longitude},${latitude}`;
    if (seen.has(key)) continue;
    seen.add(key);
    kept.push(longitude, latitude);
  }
  return { distinct: Float32Array.from(kept), inside };
}
