import type { Range } from "./grid.ts";

/**
 * Arrows from the centres of a grid of `columns` × `rows` cells along the vectors there, as lines of a panel. The longest is as long as
 * a cell; all are drawn as if the panel were square, so that directions on paper are those of the axes.
 *
 * @param vectors [rows · columns, 2] in units of the axes, row by row from the lowest
 */
export function arrows(
  { columns, rows, x, y }: { columns: number; rows: number; x: Range; y: Range },
  vectors: ArrayLike<number>,
): Float32Array[] {
  const [width, height] = [x[1] - x[0], y[1] - y[0]];
  const size = (i: number) => Math.hypot((vectors[2 * i] as number) / width, (vectors[2 * i + 1] as number) / height);
  let longest = 0;
  for (let i = 0; i < columns * rows; i++) if (Number.isFinite(size(i))) longest = Math.max(longest, size(i));
  if (longest === 0) return [];
  const factor = 0.9 / Math.max(columns, rows) / longest;
  const lines: Float32Array[] = [];
  for (let i = 0; i < columns * rows; i++) {
    if (!(size(i) > 0)) continue;
    const centre = [((i % columns) + 0.5) / columns, (Math.floor(i / columns) + 0.5) / rows] as const;
    const along = [
      ((vectors[2 * i] as number) / width) * factor,
      ((vectors[2 * i + 1] as number) / height) * factor,
    ] as const;
    // head: two strokes of a third of the shaft, 27° off it
    const at = (forward: number, aside: number) => [
      x[0] + width * (centre[0] + forward * along[0] - aside * along[1]),
      y[0] + height * (centre[1] + forward * along[1] + aside * along[0]),
    ];
    lines.push(Float32Array.of(...at(-0.5, 0), ...at(0.5, 0)));
    lines.push(Float32Array.of(...at(0.2, 0.15), ...at(0.5, 0), ...at(0.2, -0.15)));
  }
  return lines;
}
