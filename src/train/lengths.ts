import { withLastColumn } from "../flow/last-column.ts";

/** What of a network's conditions is given with the rows of a training: all but the length of a step, the last column of the context. */
export function givenConditions<F extends { readonly context: number }>(velocity: F, shortcut: unknown): F {
  return shortcut === undefined ? velocity : { ...velocity, context: Math.max(0, velocity.context - 1) };
}

/** Context of rows with a last column of zeros, for the lengths. */
export const withLengths = (context: Float32Array | undefined, rows: number, width: number): Float32Array =>
  withLastColumn(context, rows, width, 0);
