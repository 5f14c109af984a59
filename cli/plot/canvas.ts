import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Canvas, SKRSContext2D } from "@napi-rs/canvas";
import { PushforwardError } from "../../src/errors.ts";

export type Context = SKRSContext2D;

/** What the plots need of the optional package `@napi-rs/canvas`. */
export interface CanvasLibrary {
  createCanvas(width: number, height: number): Canvas;
}

/** Family name of the font that the plots are set in. */
export const fontFamily = "DejaVu Sans";

let loaded: CanvasLibrary | undefined;

/** Loads the optional canvas package and the font, once; throws `unsupported` that names what to install. */
export async function loadCanvas(): Promise<CanvasLibrary> {
  if (loaded) return loaded;
  let library: typeof import("@napi-rs/canvas");
  try {
    library = await import("@napi-rs/canvas");
  } catch (cause) {
    throw new PushforwardError(
      "unsupported",
      "plots are drawn by the optional package @napi-rs/canvas, which is not installed: run  npm install @napi-rs/canvas",
      { cause },
    );
  }
  const font = findFont();
  // Without the file the system's own fonts are used: the picture is right, only its letters look different.
  if (font !== undefined) library.GlobalFonts.registerFromPath(font, fontFamily);
  loaded = library;
  return library;
}

/** DejaVuSans.ttf beside the built program, else in the checkout's dev dependency. */
function findFont(): string | undefined {
  for (const place of ["./fonts/DejaVuSans.ttf", "../fonts/DejaVuSans.ttf"]) {
    const path = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(path)) return path;
  }
  try {
    return createRequire(import.meta.url).resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf");
  } catch {
    return undefined;
  }
}
