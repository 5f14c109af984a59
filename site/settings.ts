// All that a visitor can choose, and the address of the page that says it.
import { darknessOfText } from "./drawing.ts";
import { isToy, type Stroke, type Target } from "./targets.ts";

export interface Settings {
  target: Target;
  source: "gaussian" | "uniform";
  network: "plain" | "residual";
  /** Fourier features of x beside x itself; 0 for none. */
  features: number;
  layers: number;
  width: number;
  loss: "flow-matching" | "likelihood";
  pairs: "independent" | "optimal-transport";
  rate: number;
  particles: number;
}

export const choices = {
  source: ["gaussian", "uniform"],
  network: ["plain", "residual"],
  features: [0, 8, 16, 32],
  layers: [1, 2, 3, 4],
  width: [16, 32, 64, 128],
  loss: ["flow-matching", "likelihood"],
  pairs: ["independent", "optimal-transport"],
  rate: [0.001, 0.003, 0.01, 0.03],
  particles: [1_000, 4_000, 10_000, 30_000, 100_000, 300_000, 1_000_000],
} as const;

export type ChoiceName = keyof typeof choices;

/** What the page starts with: less where the processor does the work of a GPU. */
export function defaults(isSoftware: boolean): Settings {
  return {
    target: { kind: "toy", name: "moons" },
    source: "gaussian",
    network: "plain",
    features: 16,
    layers: 3,
    width: isSoftware ? 32 : 64,
    loss: "flow-matching",
    pairs: "optimal-transport",
    rate: 0.01,
    particles: isSoftware ? 4_000 : 100_000,
  };
}

/** The settings that an address names, of which the others keep their values; what makes no sense in it is passed over. */
export function readAddress(hash: string, fallback: Settings): Settings {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const settings = { ...fallback, target: targetOf(words) ?? fallback.target };
  for (const name of Object.keys(choices) as ChoiceName[]) {
    const found = choices[name].find((choice) => String(choice) === words.get(name));
    if (found !== undefined) Object.assign(settings, { [name]: found });
  }
  return settings;
}

export function writeAddress(settings: Settings, fallback: Settings): string {
  const words = new URLSearchParams();
  const { target } = settings;
  if (target.kind === "toy") words.set("target", target.name);
  if (target.kind === "drawing") words.set("drawing", packStrokes(target.strokes));
  if (target.kind === "text") words.set("text", target.text);
  for (const name of Object.keys(choices) as ChoiceName[])
    if (settings[name] !== fallback[name]) words.set(name, String(settings[name]));
  return `#${words}`;
}

function targetOf(words: URLSearchParams): Target | undefined {
  const [name, drawing, text] = ["target", "drawing", "text"].map((key) => words.get(key));
  if (name && isToy(name)) return { kind: "toy", name };
  if (typeof drawing === "string") return { kind: "drawing", strokes: unpackStrokes(drawing) };
  if (text) return { kind: "text", text, darkness: darknessOfText(text) };
  return undefined;
}

/** A coordinate is a byte: 0 … 254 over the plane from −4.2 to 4.2; 255 ends a stroke. */
const end = 255;
const range = 4.2;

function packStrokes(strokes: readonly Stroke[]): string {
  const byte = (value: number) => Math.max(0, Math.min(254, Math.round((127 * (value + range)) / range)));
  const bytes = strokes.flatMap((stroke) => [...stroke.map(byte), end]);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function unpackStrokes(text: string): Stroke[] {
  let bytes: number[];
  try {
    bytes = Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  } catch {
    // not one of ours
    return [];
  }
  const strokes: number[][] = [];
  let stroke: number[] = [];
  for (const byte of bytes) {
    if (byte !== end) stroke.push((byte * range) / 127 - range);
    else if (stroke.length >= 2 && stroke.length % 2 === 0) strokes.push(stroke);
    if (byte === end) stroke = [];
  }
  return strokes;
}
