// Points from lines and from pictures, by a generator of their own, so that the same drawing gives the same points.
import type { Stroke } from "./targets.ts";

/** How dark each pixel is, from the top left, row by row. */
export interface Darkness {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;
}

/** Standard deviation across a line, in units of the plane. */
const lineWidth = 0.11;
/** A picture's longer side, in units of the plane. */
const pictureSide = 7;

/** Uniform numbers on [0, 1): Mulberry32. */
function uniforms(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Index of the interval of a running sum in which `value` lies. */
function intervalOf(sums: Float64Array, value: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sums[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Points along the strokes, alike by length, with Gaussian noise across. A dot counts as a short line. */
export function drawn(strokes: readonly Stroke[], count: number, seed: number): Float32Array {
  const pieces = strokes.flatMap((stroke) => {
    const last = Math.max(stroke.length - 4, 0);
    return Array.from({ length: last / 2 + 1 }, (_, k) => {
      const [x0, y0, x1 = x0, y1 = y0] = stroke.slice(2 * k, 2 * k + 4) as [number, number, number?, number?];
      return [x0, y0, x1, y1] as const;
    });
  });
  let total = 0;
  const sums = Float64Array.from(pieces, ([x0, y0, x1, y1]) => {
    total += Math.max(Math.hypot(x1 - x0, y1 - y0), 0.02);
    return total;
  });
  const uniform = uniforms(seed);
  const points = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const [x0, y0, x1, y1] = pieces[intervalOf(sums, uniform() * total)] as (typeof pieces)[number];
    const share = uniform();
    // Box–Muller
    const radius = lineWidth * Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    points[2 * i] = x0 + share * (x1 - x0) + radius * Math.cos(angle);
    points[2 * i + 1] = y0 + share * (y1 - y0) + radius * Math.sin(angle);
  }
  return points;
}

/** Points of the density that a picture's darkness is, uniform within each pixel. */
export function strewn({ width, height, values }: Darkness, count: number, seed: number): Float32Array {
  let total = 0;
  const sums = Float64Array.from(values, (value) => {
    total += value;
    return total;
  });
  const uniform = uniforms(seed);
  const unit = pictureSide / Math.max(width, height);
  const points = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const pixel = intervalOf(sums, uniform() * total);
    points[2 * i] = unit * ((pixel % width) + uniform() - width / 2);
    points[2 * i + 1] = unit * (height / 2 - Math.floor(pixel / width) - uniform());
  }
  return points;
}

const side = 160;

/** The darkness of what `paint` leaves on a white sheet. */
function darknessOf(
  width: number,
  height: number,
  paint: (context: OffscreenCanvasRenderingContext2D) => void,
): Darkness {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser has no canvas to paint on");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  paint(context);
  const { data } = context.getImageData(0, 0, width, height);
  const values = Float32Array.from({ length: width * height }, (_, i) => {
    const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]] as [number, number, number];
    const dark = 1 - (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
    // paper is never quite white
    return dark < 0.06 ? 0 : dark;
  });
  return { width, height, values };
}

export function darknessOfText(text: string): Darkness {
  const words = text.trim().slice(0, 24);
  const lines = words.length > 8 ? words.split(/\s+/) : [words];
  const height = Math.max(40, Math.min(side, Math.round((1.15 * side * lines.length) / 2.4)));
  return darknessOf(side, height, (context) => {
    const longest = lines.reduce((a, b) => (a.length > b.length ? a : b), "");
    const font = (size: number) => `700 ${size}px Georgia, "Times New Roman", serif`;
    context.font = font(100);
    const fitting = (98 * side) / Math.max(1, context.measureText(longest).width);
    const size = Math.min(fitting, height / lines.length / 1.05);
    context.font = font(size);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = "#000";
    for (const [k, line] of lines.entries())
      context.fillText(line, side / 2, ((k + 0.55) * height) / lines.length, side);
  });
}

export async function darknessOfPicture(file: Blob): Promise<Darkness> {
  const picture = await createImageBitmap(file);
  const shrink = side / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((pixels) => Math.max(1, Math.round(shrink * pixels))) as [
    number,
    number,
  ];
  const darkness = darknessOf(width, height, (context) => context.drawImage(picture, 0, 0, width, height));
  picture.close();
  return darkness;
}
