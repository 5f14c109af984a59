// A figure over the steps of the training, as a line of SVG.
import { byId, html } from "./dom.ts";
import type { Mark } from "./learner.ts";

const height = 104;
const edge = { left: 34, right: 4, top: 8, bottom: 18 };
const mostPoints = 160;

/** Long histories are shown by means of neighbours. */
function thinned(marks: readonly Mark[]): Mark[] {
  const each = Math.ceil(marks.length / mostPoints);
  return Array.from({ length: Math.ceil(marks.length / each) || 0 }, (_, k) => {
    const group = marks.slice(k * each, (k + 1) * each);
    const step = group.at(-1)?.step ?? 0;
    return { step, value: group.reduce((sum, { value }) => sum + value, 0) / group.length };
  });
}

const short = (value: number) => {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 0.1 ? 2 : 3).replace("-", "−");
};

export class Curve {
  readonly #svg: SVGSVGElement;
  readonly #value: HTMLElement;
  #history: readonly Mark[] = [];
  #floor: number | undefined;

  constructor(svg: string, value: string) {
    this.#svg = byId(svg, SVGSVGElement);
    this.#value = html(value);
    new ResizeObserver(() => this.show(this.#history, this.#floor)).observe(this.#svg);
  }

  /** With a dashed line at `floor`, below which nothing can be. */
  show(history: readonly Mark[], floor?: number): void {
    this.#history = history;
    this.#floor = floor;
    const width = this.#svg.clientWidth || 272;
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const marks = thinned(history);
    const last = history.at(-1);
    this.#value.textContent = last ? last.value.toFixed(3).replace("-", "−") : "–";
    const sorted = marks.map(({ value }) => value).sort((a, b) => a - b);
    const lowest = Math.min(sorted[0] ?? 0, floor ?? Number.POSITIVE_INFINITY);
    // the first steps of a training are far above all others
    const highest = Math.max(sorted[Math.floor(0.97 * (sorted.length - 1))] ?? 1, floor ?? 0, lowest + 1e-3);
    const room = 0.08 * (highest - lowest);
    const [low, high] = [lowest - room, highest + room];
    const steps = Math.max(1, last?.step ?? 1);
    const x = (step: number) => edge.left + (step / steps) * (width - edge.left - edge.right);
    const y = (value: number) => {
      const part = Math.min(1.04, (value - low) / (high - low));
      return height - edge.bottom - part * (height - edge.top - edge.bottom);
    };
    const base = height - edge.bottom;
    const end = width - edge.right;
    const line = marks.map(({ step, value }) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const text = (px: number, py: number, anchor: string, words: string) =>
      `<text x="${px}" y="${py.toFixed(1)}" text-anchor="${anchor}">${words}</text>`;
    this.#svg.innerHTML = [
      `<path class="axis" d="M${edge.left} ${edge.top}V${base}H${end}"/>`,
      floor === undefined ? "" : `<path class="floor" d="M${edge.left} ${y(floor).toFixed(1)}H${end}"/>`,
      marks.length > 1 ? `<polyline class="curve" points="${line}"/>` : "",
      marks.length > 1 ? text(edge.left - 5, y(highest) + 4, "end", short(highest)) : "",
      marks.length > 1 ? text(edge.left - 5, y(lowest) + 4, "end", short(lowest)) : "",
      text(edge.left, height - 4, "start", "0"),
      last ? text(end, height - 4, "end", last.step.toLocaleString("en")) : "",
    ].join("");
  }
}
