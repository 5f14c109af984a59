// Where particles come from, as colours tell it.
import type { Flow } from "pushforward";
import type { Data } from "./targets.ts";

/** The place without a hue, and the distance from it at which colours are strong, in the flow's own space. */
export interface Origin {
  readonly centre: readonly [number, number];
  readonly scale: number;
}

/** Sources with a density are as wide as N(0, 1) about 0; rows lie where they lie. */
export function originOf({ normalization }: Flow, { start }: Data): Origin {
  if (!start) return { centre: [0, 0], scale: 1 };
  const rows = start.train;
  const along = (axis: 0 | 1) => {
    let [sum, squares] = [0, 0];
    const shift = normalization?.mean[axis] ?? 0;
    const scale = normalization?.scale[axis] ?? 1;
    for (let i = axis; i < rows.length; i += 2) {
      const value = ((rows[i] as number) - shift) / scale;
      sum += value;
      squares += value ** 2;
    }
    const n = rows.length / 2;
    return { mean: sum / n, variance: squares / n - (sum / n) ** 2 };
  };
  const [x, y] = [along(0), along(1)];
  return { centre: [x.mean, y.mean], scale: Math.sqrt((x.variance + y.variance) / 2) || 1 };
}
