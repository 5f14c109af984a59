// All that a visitor can choose, and the address of the page that says it.
import { darknessOfText } from "./drawing.ts";
import { isToy, type Stroke, type Target } from "./targets.ts";

export interface Settings {
  target: Target;
  /** Where particles start with the source "samples". */
  start: Target;
  source: "gaussian" | "uniform" | "samples";
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
  source: ["gaussian", "uniform", "samples"],
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
    start: { kind: "toy", name: "8gaussians" },
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
  const [target, start] = [targetOf(words, targetWords), targetOf(words, startWords)];
  const settings = { ...fallback, target: target ?? fallback.target, start: start ?? fallback.start };
  for (const name of Object.keys(choices) as ChoiceName[]) {
    const found = choices[name].find((choice) => String(choice) === words.get(name));
    if (found !== undefined) Object.assign(settings, { [name]: found });
  }
  return withoutLikelihood(settings);
}

export function writeAddress(settings: Settings, fallback: Settings): string {
  const words = new URLSearchParams();
  addTarget(words, targetWords, settings.target);
  if (settings.source === "samples") addTarget(words, startWords, settings.start);
  for (const name of Object.keys(choices) as ChoiceName[])
    if (settings[name] !== fallback[name]) words.set(name, String(settings[name]));
  return `#${words}`;
}

/** Rows without a density have no likelihood to train by, and those that come out of a uniform source's box an infinite loss. */
export function withoutLikelihood(settings: Settings): Settings {
  if (settings.source !== "gaussian") settings.loss = "flow-matching";
  return settings;
}

/** The words of an address for a toy set, a drawing and letters: of the target, and of where particles start. */
type Words = readonly [toy: string, drawing: string, text: string];
const targetWords: Words = ["target", "drawing", "text"];
const startWords: Words = ["from", "from-drawing", "from-text"];

function addTarget(words: URLSearchParams, [toy, drawing, text]: Words, target: Target): void {
  if (target.kind === "toy") words.set(toy, target.name);
  if (target.kind === "drawing") words.set(drawing, packStrokes(target.strokes));
  if (target.kind === "text") words.set(text, target.text);
}

function targetOf(words: URLSearchParams, keys: Words): Target | undefined {
  const [name, drawing, text] = keys.map((key) => words.get(key));
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
