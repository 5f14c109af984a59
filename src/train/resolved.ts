import { lossIn } from "../data/lost-digits.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";

/** Throws for a column of which f32 has lost too much. */
export function checkResolved(what: string, name: string, flow: Flow, data: DataRows): void {
  const { dim, normalization, transform } = flow;
  // near the ends of a space it is the distance from them that has the digits
  if (transform) return;
  for (let column = 0; column < dim; column++) {
    const loss = lossIn(data, dim, column, normalization);
    if (loss === undefined) continue;
    const isRounded = data instanceof Float32Array || normalization === undefined;
    throw invalid(
      `${what}: column ${column} (from 0) of ${name} ${loss}: ` +
        (isRounded
          ? "pass the data as a Float64Array, and give the flow normalization: fitNormalization(data, dim), which takes the offset off before anything is f32"
          : "leave that column or those values out, or take an offset off"),
    );
  }
}
