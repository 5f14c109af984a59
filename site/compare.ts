// The same particles by several solvers, each with the same number of evaluations of the network, beside the exact flow.
import type { Flow, Solver } from "pushforward";
import { byId, fitToPixels, html, select } from "./dom.ts";
import { originOf } from "./origin.ts";
import type { Data } from "./targets.ts";
import { colourName, currentTheme } from "./theme.ts";

const count = 1500;
/** Particles whose way is drawn. */
const ways = 40;
const seed = 11;

const rivals = [
  { id: "euler", method: "euler", stages: 1 },
  { id: "midpoint", method: "midpoint", stages: 2 },
  { id: "rk4", method: "rk4", stages: 4 },
] as const;

/** Of the classic method: what is left of the error is not to be seen. */
const exactSteps = 40;

interface Solved {
  readonly x: Float32Array;
  readonly x0: Float32Array;
  /** [times, count, 2] */
  readonly saved: Float32Array;
  readonly times: number;
  readonly nfe: number;
}

async function solve(flow: Flow, solver: Solver): Promise<Solved> {
  const { x, x0, saved, times, nfe } = await flow.sample(count, { solver, saveAt: "steps", seed });
  if (!x0 || !saved || !times) throw new Error("the samples came without their way");
  return { x, x0, saved, times: times.length, nfe };
}

/** Root of the mean squared distance between particles of the same origin. */
function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (const [i, value] of a.entries()) sum += (value - (b[i] as number)) ** 2;
  return Math.sqrt(sum / (a.length / 2));
}

function paint(id: string, { flow, data }: Comparable, { x, x0, saved, times }: Solved): void {
  const { view } = data;
  const origin = originOf(flow, data);
  const canvas = byId(`compare-${id}`, HTMLCanvasElement);
  fitToPixels(canvas, 1024);
  const context = canvas.getContext("2d");
  if (!context) return;
  const { width } = canvas;
  const scale = width / (2 * view.half);
  const across = (value: number) => width / 2 + scale * (value - view.centre[0]);
  const up = (value: number) => width / 2 - scale * (value - view.centre[1]);
  context.fillStyle = colourName("paper");
  context.fillRect(0, 0, width, width);
  const { lightness } = currentTheme();
  const dot = Math.max(1.5, width / 140);
  context.globalAlpha = 0.75;
  for (let i = 0; i < x.length; i += 2) {
    const [a, b] = [0, 1].map(
      (axis) => ((x0[i + axis] as number) - (origin.centre[axis] as number)) / origin.scale,
    ) as [number, number];
    const r = Math.hypot(a, b);
    context.fillStyle = `oklch(${lightness} ${(0.16 * r) / (r + 0.45)} ${Math.atan2(b, a)}rad)`;
    context.fillRect(across(x[i] as number) - dot / 2, up(x[i + 1] as number) - dot / 2, dot, dot);
  }
  context.strokeStyle = colourName("ink");
  context.lineWidth = width / 400;
  context.globalAlpha = 0.5;
  for (let p = 0; p < ways; p++) {
    context.beginPath();
    for (let k = 0; k < times; k++) {
      const i = 2 * (k * count + p);
      context.lineTo(across(saved[i] as number), up(saved[i + 1] as number));
    }
    context.stroke();
  }
}

export interface Comparable {
  readonly flow: Flow;
  readonly data: Data;
  readonly step: number;
}

/** The part of the page that compares solvers; it computes while it is open. */
export class Comparison {
  readonly #subject: () => Comparable | undefined;
  readonly #fault: (error: unknown) => void;
  #isBusy = false;
  #done = "";

  constructor(subject: () => Comparable | undefined, fault: (error: unknown) => void) {
    this.#subject = subject;
    this.#fault = fault;
    html("compare").addEventListener("toggle", () => void this.update());
    select("evaluations").addEventListener("change", () => void this.update());
  }

  /** Another theme: all is painted anew. */
  repaint(): void {
    this.#done = "";
    void this.update();
  }

  async update(): Promise<void> {
    const subject = this.#subject();
    if (this.#isBusy || !subject || !byId("compare", HTMLDetailsElement).open) return;
    const evaluations = Number(select("evaluations").value);
    const wanted = `${subject.step} ${evaluations}`;
    if (wanted === this.#done) return;
    this.#isBusy = true;
    const say = (id: string, words: string) => {
      html(`compare-${id}-words`).textContent = words;
    };
    try {
      say("exact", "…");
      const exact = await solve(subject.flow, { method: "rk4", steps: exactSteps });
      paint("exact", subject, exact);
      say("exact", `${exact.nfe} evaluations`);
      for (const { id, method, stages } of rivals) {
        say(id, "…");
        const steps = evaluations / stages;
        const solved = await solve(subject.flow, { method, steps });
        paint(id, subject, solved);
        const away = distance(solved.x, exact.x);
        say(id, `${steps} ${steps === 1 ? "step" : "steps"}: ${away.toPrecision(2)} away`);
      }
      this.#done = wanted;
    } catch (error) {
      // a flow that was replaced meanwhile is nobody's concern
      if (subject.flow === this.#subject()?.flow) this.#fault(error);
      else this.#done = "";
    } finally {
      this.#isBusy = false;
    }
    const now = this.#subject();
    if (now && (now.flow !== subject.flow || Number(select("evaluations").value) !== evaluations)) void this.update();
  }
}
