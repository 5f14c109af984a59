import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { leastNormal } from "../options.ts";
import type { Normalization } from "./normalization.ts";
import { ownValue, spacingOfF32 } from "./units.ts";

/** Throws where `parts` equal parts of an interval are narrower than f32 numbers are apart in the flow's own space. */
export function checkResolution(
  what: string,
  [low, high]: readonly [number, number],
  parts: number,
  word: "bins" | "cells",
  normalization: Normalization | undefined,
  axis: number,
): void {
  const ends = [low, high].map((value) => ownValue(value, normalization, axis)) as [number, number];
  // what is below it may be 0 on a device
  const spacing = Math.max(leastNormal, spacingOfF32(Math.max(Math.abs(ends[0]), Math.abs(ends[1]))));
  const width = (ends[1] - ends[0]) / parts;
  if (width >= spacing) return;
  const scale = normalization ? item(normalization.scale, axis) : 1;
  const most = Math.floor((ends[1] - ends[0]) / spacing);
  const way = normalization
    ? "the range is far from the data: move it, or use fewer"
    : "give the flow a normalization with the data's mean, or use fewer";
  throw invalid(
    `${what} is [${low}, ${high}] in ${parts} ${word}, but f32 numbers are ${(spacing * scale).toPrecision(3)} apart there, so at most ${most} ${word} can be told apart: ${way}`,
  );
}
