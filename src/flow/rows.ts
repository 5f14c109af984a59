import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import { checkInteger, show } from "../options.ts";

/**
 * Row-major values of particles: an array, or a buffer that this flow's device made, with COPY_SRC among its usages and the
 * values from its first byte on. The call copies what it reads; the buffer stays its owner's and must live until the call ends.
 * Values of an array are checked to be finite where no result would show it (context, for one); those of a buffer are not.
 */
export type Rows = Float32Array | GPUBuffer;

/**
 * {@link Rows} in data units. A Float64Array is centred and scaled by the flow's normalization in f64 before it becomes f32, so that
 * columns such as 5,400,000 ± 0.1 keep their digits; f32 numbers of that size are 0.5 apart, of which a flow warns once.
 */
export type DataUnitRows = Rows | Float64Array;

const copySource = 0x04; // GPUBufferUsage.COPY_SRC, which is no global in Node

/** By its members: Node has no global class to compare with. */
export function isBuffer(value: unknown): value is GPUBuffer {
  const buffer = value as Partial<GPUBuffer> | null | undefined;
  return (
    typeof buffer === "object" && typeof buffer?.mapAsync === "function" && typeof buffer.getMappedRange === "function"
  );
}

/** Number of rows in `x`; throws when it is no row-major [n, dim] array. */
export function particleCount(
  what: string,
  name: string,
  x: unknown,
  dim: number,
  units: "own" | "data" = "own",
): number {
  if (!(x instanceof Float32Array || (units === "data" && x instanceof Float64Array))) {
    // rounding rows in data units would take the digits that f64 is for
    const way = x instanceof Float64Array ? "pass (x − mean)/scale of the flow's normalization, and " : "";
    const isList = Array.isArray(x) || ArrayBuffer.isView(x);
    throw invalid(
      `${what}: ${name} is ${show(x)}, but it is a row-major [n, ${dim}] Float32Array${way && " in the flow's own space"}${isList ? `: ${way}wrap it with Float32Array.from(…)` : ""}`,
    );
  }
  if (x.length % dim !== 0) {
    throw invalid(
      `${what}: ${name} has ${x.length} values, but a flow of dim ${dim} needs a multiple of ${dim}: pass a row-major [n, ${dim}] Float32Array`,
    );
  }
  return x.length / dim;
}

/** Number of rows in `x`: those of an array, those that fit into a buffer, or the first `count` of a buffer. */
export function rowCount(
  what: string,
  name: string,
  x: unknown,
  dim: number,
  count?: number,
  units: "own" | "data" = "own",
): number {
  if (count !== undefined) checkInteger(`${what}: count`, count, 0);
  if (!isBuffer(x)) {
    const n = particleCount(what, name, x, dim, units);
    if (count !== undefined && count !== n)
      throw invalid(
        `${what}: count is ${count}, but ${name} has ${n} rows: leave count out, it is for rows in a GPUBuffer`,
      );
    return n;
  }
  const bytes = dim * 4;
  if ((x.usage & copySource) === 0)
    throw invalid(
      `${what}: ${name} is a GPUBuffer without the usage COPY_SRC, so its rows cannot be read: create it with GPUBufferUsage.COPY_SRC`,
    );
  if (x.mapState !== "unmapped")
    throw invalid(`${what}: ${name} is a GPUBuffer that is mapped (${x.mapState}): call its unmap() first`);
  if (count !== undefined && count * bytes > x.size)
    throw invalid(
      `${what}: ${name} is a GPUBuffer of ${x.size} bytes, but ${count} rows of ${dim} f32 need ${count * bytes}: pass a smaller count or a larger buffer`,
    );
  if (count === undefined && x.size % bytes !== 0)
    throw invalid(
      `${what}: ${name} is a GPUBuffer of ${x.size} bytes, which is no multiple of ${bytes}, a row of ${dim} f32: pass count, the number of rows in it`,
    );
  return count ?? x.size / bytes;
}

/** Throws unless `values` has `width` values for each of `n` particles. */
export function checkLength(
  what: string,
  name: string,
  values: unknown,
  n: number,
  width: number,
  count?: number,
): void {
  if (isBuffer(values)) {
    const rows = rowCount(what, name, values, width, count);
    if (rows !== n)
      throw invalid(
        `${what}: ${name} is a GPUBuffer of ${rows} rows, but there are ${n} particles: pass a buffer of ${n * width * 4} bytes`,
      );
    return;
  }
  if (!(values instanceof Float32Array) || values.length !== n * width)
    throw invalid(
      `${what}: ${name} ${values instanceof Float32Array ? `has ${values.length} values` : `is ${show(values)}`}, but there are ${n} particles: pass a Float32Array or a GPUBuffer of ${n * width} values`,
    );
}

/** NaN and infinities among inputs are errors, not results. */
export function checkAllFinite(what: string, name: string, values: DataRows, dim: number): void {
  const bad = (values as Float64Array).findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw invalid(
      `${what}: ${name} holds ${values[bad]} at row ${Math.floor(bad / dim)}, column ${bad % dim}: remove or repair that row`,
    );
}
