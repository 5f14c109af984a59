// What lies over the picture: lines that are drawn, the path of a point, arrows; and what the pointer and the keys do to it.
import { button, byId, fitToPixels, html } from "./dom.ts";
import type { Stroke, View } from "./targets.ts";
import { colourName } from "./theme.ts";

export type Point = readonly [x: number, y: number];

interface Overlay {
  /** The way from the source to the point, and from there to the target. */
  readonly path?: { before: readonly Point[]; after: readonly Point[]; point: Point } | undefined;
  readonly arrows?: readonly { at: Point; by: Point }[] | undefined;
  /** Whether the lines that were drawn are shown. */
  readonly hasStrokes: boolean;
}

export interface StageEvents {
  /** A line was drawn, or all were cleared. */
  drew(strokes: readonly Stroke[]): void;
  asked(point: Point): void;
  /** The pointer draws from now on, or asks. */
  turned(draws: boolean): void;
}

/** Points of a line are at least this far apart, in halves of the view. */
const spacing = 0.025;

export class Stage {
  view: View = { centre: [0, 0], half: 1 };
  #strokes: number[][] = [];
  #line: number[] | undefined;
  #canDraw = false;
  #cross: Point | undefined;
  #overlay: Overlay = { hasStrokes: false };
  readonly #plane = html("plane");
  readonly #canvas = byId("overlay", HTMLCanvasElement);
  readonly #events: StageEvents;

  constructor(events: StageEvents) {
    this.#events = events;
    const plane = this.#plane;
    plane.addEventListener("pointerdown", (event) => this.#begin(event));
    plane.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"] as const) plane.addEventListener(name, () => this.#end());
    plane.addEventListener("keydown", (event) => this.#press(event));
    button("clear").addEventListener("click", () => this.clear());
    for (const radio of document.querySelectorAll('[name="tool"]'))
      radio.addEventListener("change", () => this.#showTool());
  }

  /** Whether the target is a drawing; what was drawn before is taken up. */
  setDrawing(strokes: readonly Stroke[] | undefined): void {
    // who turns to a drawing, or has none yet, wants to draw
    if (strokes && (!this.#canDraw || strokes.length === 0)) this.#takePen();
    this.#canDraw = strokes !== undefined;
    if (strokes) this.#strokes = strokes.map((stroke) => [...stroke]);
    html("drawing-tools").hidden = !this.#canDraw;
    this.#showTool();
  }

  clear(): void {
    this.#strokes = [];
    this.#takePen();
    this.#showTool();
    this.#events.drew([]);
  }

  #takePen(): void {
    const pen = document.querySelector<HTMLInputElement>('[name="tool"][value="draw"]');
    if (pen) pen.checked = true;
  }

  get #draws(): boolean {
    return this.#canDraw && document.querySelector<HTMLInputElement>('[name="tool"]:checked')?.value === "draw";
  }

  #showTool(): void {
    this.#plane.classList.toggle("draws", this.#draws);
    this.#events.turned(this.#draws);
  }

  #pointOf(event: PointerEvent): Point {
    const { left, top, width } = this.#plane.getBoundingClientRect();
    const { centre, half } = this.view;
    const from = (value: number) => (2 * value) / width - 1;
    return [centre[0] + half * from(event.clientX - left), centre[1] - half * from(event.clientY - top)];
  }

  #begin(event: PointerEvent): void {
    if (!event.isPrimary || event.button !== 0) return;
    const point = this.#pointOf(event);
    if (!this.#draws) {
      this.#ask(point);
      return;
    }
    event.preventDefault();
    this.#plane.setPointerCapture(event.pointerId);
    this.#line = [...point];
    this.#strokes.push(this.#line);
    this.paint();
  }

  #move(event: PointerEvent): void {
    const line = this.#line;
    if (!line || !event.isPrimary) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) {
      const [x, y] = this.#pointOf(one);
      const away = Math.hypot(x - (line.at(-2) ?? x), y - (line.at(-1) ?? y));
      if (away > spacing * this.view.half) line.push(x, y);
    }
    this.paint();
  }

  #end(): void {
    if (!this.#line) return;
    this.#line = undefined;
    this.#events.drew(this.#strokes.map((stroke) => [...stroke]));
  }

  #press(event: KeyboardEvent): void {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const [x, y] = this.#cross ?? this.view.centre;
    const length = (event.shiftKey ? 0.2 : 0.04) * this.view.half;
    this.#ask([x + length * (by[0] ?? 0), y + length * (by[1] ?? 0)]);
  }

  #ask(point: Point): void {
    this.#cross = point;
    this.#events.asked(point);
  }

  show(overlay: Overlay): void {
    this.#overlay = overlay;
    this.paint();
  }

  paint(): void {
    const canvas = this.#canvas;
    fitToPixels(canvas, 2048);
    const context = canvas.getContext("2d");
    if (!context) return;
    const { centre, half } = this.view;
    const scale = canvas.width / (2 * half);
    const unit = canvas.width / Math.max(1, canvas.clientWidth);
    const place = ([x, y]: Point) =>
      [canvas.width / 2 + scale * (x - centre[0]), canvas.height / 2 - scale * (y - centre[1])] as const;
    const line = (points: readonly Point[]) => {
      context.beginPath();
      for (const point of points) context.lineTo(...place(point));
      context.stroke();
    };
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.lineCap = context.lineJoin = "round";
    const { arrows, path } = this.#overlay;
    if (this.#line || this.#overlay.hasStrokes) {
      context.strokeStyle = colourName("ink");
      context.globalAlpha = this.#line ? 0.8 : 0.16;
      context.lineWidth = 5 * unit;
      for (const stroke of this.#strokes) {
        const points = Array.from(
          { length: stroke.length / 2 },
          (_, k): Point => [stroke[2 * k] as number, stroke[2 * k + 1] as number],
        );
        line(points.length === 1 ? [...points, ...points] : points);
      }
      context.globalAlpha = 1;
    }
    if (arrows) {
      context.strokeStyle = colourName("ink");
      context.lineWidth = 1.1 * unit;
      context.globalAlpha = 0.55;
      for (const { at, by } of arrows) {
        const tip: Point = [at[0] + by[0], at[1] + by[1]];
        const wing = (turn: number): Point => [
          tip[0] - 0.3 * (by[0] * Math.cos(turn) - by[1] * Math.sin(turn)),
          tip[1] - 0.3 * (by[0] * Math.sin(turn) + by[1] * Math.cos(turn)),
        ];
        line([at, tip]);
        line([wing(0.5), tip, wing(-0.5)]);
      }
      context.globalAlpha = 1;
    }
    if (path) {
      for (const [colour, width] of [
        ["paper", 5],
        ["second", 2.25],
      ] as const) {
        context.strokeStyle = colourName(colour);
        context.lineWidth = width * unit;
        line(path.before);
        context.setLineDash(colour === "second" ? [5 * unit, 5 * unit] : []);
        if (path.after.length > 1) line(path.after);
        context.setLineDash([]);
      }
      const dot = (point: Point, isFull: boolean) => {
        context.beginPath();
        context.arc(...place(point), 4.5 * unit, 0, 2 * Math.PI);
        context.fillStyle = colourName(isFull ? "second" : "paper");
        context.fill();
        context.stroke();
      };
      context.strokeStyle = colourName("second");
      context.lineWidth = 2 * unit;
      const start = path.before[0];
      if (start) dot(start, false);
      dot(path.point, true);
    }
  }
}
