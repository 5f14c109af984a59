import { item } from "../../src/must.ts";

type Rgb = readonly [red: number, green: number, blue: number];

/**
 * Anchors of the map in OKLCh, from the page's white to a dark violet: lightness falls evenly, so equal steps of the value
 * look equal and the picture survives print in grey; hue turns through blue, so that neighbours also differ in colour.
 */
const anchors: readonly { lightness: number; chroma: number; hue: number }[] = [
  { lightness: 1, chroma: 0, hue: 150 },
  { lightness: 0.885, chroma: 0.075, hue: 165 },
  { lightness: 0.785, chroma: 0.105, hue: 190 },
  { lightness: 0.685, chroma: 0.118, hue: 218 },
  { lightness: 0.585, chroma: 0.14, hue: 245 },
  { lightness: 0.485, chroma: 0.16, hue: 268 },
  { lightness: 0.385, chroma: 0.155, hue: 287 },
  { lightness: 0.285, chroma: 0.12, hue: 305 },
  { lightness: 0.185, chroma: 0.075, hue: 320 },
];

const entries = 512;
let table: Uint8Array | undefined;

/** The colour of a value in [0, 1]: 0 is the page, 1 the darkest; values outside are clamped. */
export function densityColour(value: number): Rgb {
  table ??= buildTable();
  // a value is at most the last of the entries, which have three bytes each
  const index = Math.round(Math.min(1, Math.max(0, Number.isNaN(value) ? 0 : value)) * (entries - 1)) * 3;
  return [table[index] as number, table[index + 1] as number, table[index + 2] as number];
}

/** The same as a CSS colour. */
export function densityCss(value: number): string {
  const [red, green, blue] = densityColour(value);
  return `rgb(${red}, ${green}, ${blue})`;
}

function buildTable(): Uint8Array {
  const bytes = new Uint8Array(entries * 3);
  for (let i = 0; i < entries; i++) {
    const position = (i / (entries - 1)) * (anchors.length - 1);
    const before = Math.min(Math.floor(position), anchors.length - 2);
    const [a, b] = [item(anchors, before), item(anchors, before + 1)];
    const t = position - before;
    const mix = (from: number, to: number) => from + t * (to - from);
    bytes.set(oklchToRgb(mix(a.lightness, b.lightness), mix(a.chroma, b.chroma), mix(a.hue, b.hue)), i * 3);
  }
  return bytes;
}

/** OKLCh to 8-bit sRGB: Ottosson's OKLab, then the sRGB transfer curve (IEC 61966-2-1). */
export function oklchToRgb(lightness: number, chroma: number, hueDegrees: number): Rgb {
  const hue = (hueDegrees * Math.PI) / 180;
  const a = chroma * Math.cos(hue);
  const b = chroma * Math.sin(hue);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encode(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function encode(linear: number): number {
  const value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.round(255 * Math.min(1, Math.max(0, value)));
}
