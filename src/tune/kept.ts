import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import { sameTiling } from "./candidates.ts";

/** A choice as it is kept: the tiling, and the mark of the kernel's text that it was measured with. */
interface Kept {
  readonly tiling: Tiling;
  readonly text: string;
}

/** 64 bits of a text, FNV-1a over its code units from two starts: to see that it has changed, not against malice. */
export function mark(text: string): string {
  const half = (start: number) => {
    let hash = start;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    return (hash >>> 0).toString(16).padStart(8, "0");
  };
  return half(0x811c9dc5) + half(0x2545f491);
}

/** The key under which the choices for a network on an adapter are kept. */
export function storeKey(info: GpuInfo, network: string): string {
  const { vendor, architecture, description, subgroupSize, features } = info;
  return `pushforward tilings ${JSON.stringify([vendor, architecture, description, subgroupSize, features])} ${network}`;
}

function parse(text: string | undefined): Record<string, Partial<Kept> | undefined> {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, Partial<Kept> | undefined>) : {};
  } catch {
    return {};
  }
}

/** The choice kept for a mode, if it is one of today's candidates and its kernel still reads as it did. */
export function keptTiling(
  text: string | undefined,
  mode: string,
  candidates: readonly Tiling[],
  kernelText: (tiling: Tiling) => string,
): Tiling | undefined {
  const entry = parse(text)[mode];
  const { tiling } = entry ?? {};
  if (typeof tiling !== "object" || tiling === null) return undefined;
  const found = candidates.find((candidate) => sameTiling(candidate, tiling));
  return found && entry?.text === mark(kernelText(found)) ? found : undefined;
}

/** The kept text with a mode's choice added or replaced. */
export function withTiling(text: string | undefined, mode: string, tiling: Tiling, kernelText: string): string {
  const kept: Kept = { tiling, text: mark(kernelText) };
  return JSON.stringify({ ...parse(text), [mode]: kept });
}
