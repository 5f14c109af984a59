import { scaleLinear, scaleLog, scaleSqrt } from "d3-scale";
import { item } from "../../src/must.ts";
import { numberText, superscript, tickLabels } from "./ticks.ts";

export type ScaleKind = "linear" | "sqrt" | "log";

/** How values become positions in [0, 1] on the colour bar, and which of them are marked. */
export interface ColourScale {
  readonly kind: ScaleKind;
  readonly domain: readonly [low: number, high: number];
  /** 0 for everything at or below the domain, also for 0 on a log scale. */
  position(value: number): number;
  readonly ticks: readonly { value: number; text: string }[];
  /** What all ticks are to be read with, such as "×10⁻⁶"; "" for none. */
  readonly note: string;
}

/** Throws RangeError for a domain that is empty, or not positive on a log scale: callers choose it from data. */
export function colourScale(kind: ScaleKind, low: number, high: number): ColourScale {
  if (!(high > low) || (kind === "log" && !(low > 0))) throw new RangeError(`no ${kind} scale from ${low} to ${high}`);
  const make = { linear: () => scaleLinear(), sqrt: () => scaleSqrt(), log: () => scaleLog() }[kind];
  const scale = make().domain([low, high]).range([0, 1]).clamp(true);
  const position = (value: number) => (value > low ? scale(value) : 0);
  const domain = [low, high] as const;
  if (kind === "log") {
    const ticks = logTicks(low, high);
    if (ticks.length > 1) return { kind, domain, position, ticks, note: "" };
  }
  const values = scaleLinear([low, high], [0, 1]).ticks(5);
  const { texts, note } = tickLabels(values);
  return { kind, domain, position, ticks: values.map((value, i) => ({ value, text: item(texts, i) })), note };
}

/** Powers of ten where at least two fit, else 1–2–5 steps. */
function logTicks(low: number, high: number): { value: number; text: string }[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const stride = Math.max(1, Math.ceil((last - first) / 7));
  const ticks: { value: number; text: string }[] = [];
  if (last - first >= 1) {
    for (let power = first; power <= last; power += stride) ticks.push({ value: 10 ** power, text: powerText(power) });
    return ticks;
  }
  for (let power = Math.floor(Math.log10(low)); power <= last + 1; power++) {
    for (const factor of [1, 2, 5]) {
      const value = factor * 10 ** power;
      if (value >= low && value <= high) ticks.push({ value, text: numberText(Number(value.toPrecision(2))) });
    }
  }
  return ticks;
}

function powerText(power: number): string {
  return power >= 0 && power <= 3 ? String(10 ** power) : `10${superscript(power)}`;
}
