import { fileURLToPath } from "node:url";
import { readCsv } from "../cli/csv.ts";
import { seededUniform, shuffledIndices } from "../cli/split.ts";

/** What is known of two days in a row: highest and lowest temperature and wind of the first, the temperatures of the second. */
export const variables = ["max °C", "min °C", "ln wind", "max °C, next day", "min °C, next day"] as const;
export const dim = variables.length;

export interface Weather {
  /** Rows [n, dim] and the city of each, [n]. */
  readonly x: Float32Array;
  readonly labels: Uint32Array;
}

interface WeatherSplit {
  readonly train: Weather;
  readonly validation: Weather;
  readonly test: Weather;
  readonly cities: readonly string[];
}

/** Days that are dealt to one of the sets together: neighbours know each other's weather, so single days would leak. */
const block = 14;

/**
 * Four years of daily weather in Seattle and New York (NOAA), as vega-datasets ships it. Temperatures were kept in whole degrees
 * Fahrenheit and wind in tenths of m/s: every value gets uniform noise of its own step, so that there is a density to estimate at all
 * (a model could otherwise win by spikes on the recorded values). Blocks of 14 days go to train, validation and test, 70 : 15 : 15.
 */
export async function loadWeather(seed: number): Promise<WeatherSplit> {
  const file = fileURLToPath(new URL("../data/weather.csv", import.meta.resolve("vega-datasets")));
  const { data, rows } = await readCsv(file, { columns: ["temp_max", "temp_min", "wind"] });
  const cities = ["Seattle", "New York"];
  // the file lists one city after the other, as many days each
  const days = rows / cities.length;
  if (!Number.isInteger(days)) throw new Error(`weather.csv has ${rows} days for ${cities.length} cities`);
  const uniform = seededUniform(seed);
  const noise = (step: number) => (uniform() - 0.5) * step;
  const fahrenheit = 5 / 9;
  const sets = ["train", "validation", "test"] as const;
  const parts = Object.fromEntries(sets.map((name) => [name, { x: [] as number[], labels: [] as number[] }]));
  for (const city of cities.keys()) {
    const clean = Float32Array.from({ length: 3 * days }, (_, k) => {
      const value = data[3 * city * days + k] ?? Number.NaN;
      return k % 3 === 2 ? Math.log(Math.max(0.05, value + noise(0.1))) : value + noise(fahrenheit);
    });
    const blocks = Math.floor(days / block);
    for (const [place, which] of shuffledIndices(blocks, seed + city).entries()) {
      const part = parts[place < 0.7 * blocks ? "train" : place < 0.85 * blocks ? "validation" : "test"];
      for (let day = which * block; day + 1 < (which + 1) * block; day++) {
        const at = 3 * day;
        part?.x.push(...clean.subarray(at, at + 5));
        part?.labels.push(city);
      }
    }
  }
  const made = (name: (typeof sets)[number]): Weather => ({
    x: Float32Array.from(parts[name]?.x ?? []),
    labels: Uint32Array.from(parts[name]?.labels ?? []),
  });
  return { train: made("train"), validation: made("validation"), test: made("test"), cities };
}

/** The rows of one city. */
export function ofCity({ x, labels }: Weather, city: number): Float32Array {
  const rows = Array.from(labels.keys()).filter((i) => labels[i] === city);
  return Float32Array.from(rows.flatMap((i) => [...x.subarray(i * dim, (i + 1) * dim)]));
}
