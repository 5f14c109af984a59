// Colours of the canvas are those of style.css.
import type { Colour } from "pushforward/view";
import type { Theme } from "./picture.ts";

const dark = matchMedia("(prefers-color-scheme: dark)");

export const wantsStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function onThemeChange(act: () => void): void {
  dark.addEventListener("change", act);
}

/** A custom property of the page, as CSS writes it. */
export const colourName = (name: string) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function colour(name: string, alpha = 1): Colour {
  const [, r = "80", g = "80", b = "80"] = /^#(..)(..)(..)$/.exec(colourName(name)) ?? [];
  return [Number.parseInt(r, 16) / 255, Number.parseInt(g, 16) / 255, Number.parseInt(b, 16) / 255, alpha];
}

export function currentTheme(): Theme {
  return {
    paper: colour("paper"),
    shade: colour("shade", 0.95),
    line: colour("line", 0.55),
    points: colour("points", 0.5),
    lightness: dark.matches ? 0.76 : 0.6,
  };
}
