import type { Range } from "./grid.ts";

export interface AxisStyle {
  readonly range: Range;
  readonly label: string;
  /** Text of a tick; default: as many digits as the step needs. */
  readonly format?: (value: number) => string;
}

/** A rectangle of the page, in CSS pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const ink = "#1d2433";
export const paleInk = "#5c6577";
export const frameInk = "#9aa3b2";
