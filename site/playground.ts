// What happens when: a target is chosen, a training begins, a point is asked for, a device is lost.
import { Flow, type Gpu } from "pushforward";
import { Clock } from "./clock.ts";
import { type Comparable, Comparison } from "./compare.ts";
import { Curve } from "./curves.ts";
import { breath, html, input } from "./dom.ts";
import { flowOf, Learner, ownStart, stepsInOneGo } from "./learner.ts";
import { withoutDensity } from "./panel.ts";
import { type Answer, answerOf, arrowsOf } from "./point.ts";
import { Screen } from "./screen.ts";
import type { Settings } from "./settings.ts";
import { type Point, Stage, type StageEvents } from "./stage.ts";
import { type Data, dataOf, dataOfBoth, type Target } from "./targets.ts";
import { wantsStillness } from "./theme.ts";

const millisecondsToRead = 10_000;

export class Playground {
  readonly gpu: Gpu;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly screen: Screen;
  readonly stage: Stage;
  readonly #lossCurve = new Curve("loss-curve", "loss-value");
  readonly #scoreCurve = new Curve("nll-curve", "nll");
  readonly comparison = new Comparison(
    () => this.#comparable(),
    (error) => this.#fault(error),
  );
  #learner: Learner | undefined;
  #epoch = 0;
  #answer: Answer | undefined;
  #arrows: { at: Point; by: Point }[] | undefined;
  #isAiming = false;
  #curvesAreDue = false;
  #hasRested = false;
  #hasStrokes = false;
  #draws = false;
  #readBy = 0;

  /** Told when a line was drawn, or all were cleared. */
  drew: StageEvents["drew"] = () => undefined;

  /** Paints all that the page has painted anew. */
  repaint: () => void = () => undefined;

  constructor(gpu: Gpu, settings: Settings) {
    this.gpu = gpu;
    this.settings = settings;
    this.clock = new Clock(() => this.#timeChanged());
    this.screen = new Screen(
      gpu,
      this.clock,
      () => settings.particles,
      () => this.#learner?.isPlaying === true,
    );
    this.stage = new Stage({
      drew: (strokes) => this.drew(strokes),
      asked: (point) => void this.ask(point),
      turned: (draws) => {
        this.#draws = draws;
        this.#invite();
      },
    });
    this.#watch();
  }

  /** What to draw, where there is nothing drawn yet. */
  get #blank(): string | undefined {
    const { target, start, source } = this.settings;
    const isBlank = (set: Target) => set.kind === "drawing" && set.strokes.length === 0;
    if (source === "samples" && isBlank(start)) return "Draw where the points start, with the mouse or a finger.";
    if (isBlank(target)) return "Draw something, with the mouse or a finger.";
    return undefined;
  }

  /** The set that is chosen now: its lines may be drawn on. */
  showSet(set: Target): void {
    this.stage.setDrawing(set.kind === "drawing" ? set.strokes : undefined);
    this.#hasStrokes = set.kind === "drawing";
    this.#overlay();
  }

  /** While it trains, there are no weights to compare solvers with. */
  #comparable(): Comparable | undefined {
    const learner = this.#learner;
    if (!learner || learner.isPlaying) return undefined;
    return { flow: learner.flow, data: learner.data, step: learner.step };
  }

  get learner(): Learner | undefined {
    return this.#learner;
  }

  /** Fresh weights for what is chosen; with `plays` they are trained at once. */
  async begin(plays: boolean): Promise<void> {
    const epoch = await this.#clearAway();
    if (epoch !== this.#epoch) return;
    const { software } = this.gpu.info;
    const { target, start, source } = this.settings;
    const [rows, heldOut] = software ? [6_000, 512] : [20_000, 4_000];
    const data = source === "samples" ? dataOfBoth(target, start, rows, heldOut) : dataOf(target, rows, heldOut);
    if (!data) {
      if (!this.#blank) this.#say("There is too little in it to learn from.");
      return;
    }
    await this.#take(flowOf(this.gpu, this.settings, data), data);
    if (plays) this.#learner?.play();
    else {
      await this.screen.settle();
      this.#say("");
    }
  }

  /** Weights of a file, on the target that is chosen. */
  async open(name: string, bytes: Uint8Array): Promise<void> {
    const flow = Flow.load(this.gpu, bytes);
    if (flow.dim !== 2) {
      flow.dispose();
      throw new Error(`${name} is a flow of ${flow.dim} dimensions, but this page shows two: open another`);
    }
    const shown = this.#learner?.data;
    await this.#clearAway();
    if (!shown) {
      flow.dispose();
      throw new Error("choose a target first: likelihoods are those of its points");
    }
    await this.#take(flow, await ownStart(flow, shown));
    await this.#learner?.judge();
    this.#say(`${name}: ${flow.parameterCount.toLocaleString("en")} numbers`);
    await this.screen.settle();
  }

  async #clearAway(): Promise<number> {
    this.#epoch++;
    const epoch = this.#epoch;
    const old = this.#learner;
    this.#learner = undefined;
    this.#state("opening");
    this.#say(this.#blank ?? "");
    this.#forget();
    this.#drawCurves();
    old?.pause();
    await this.screen.show(undefined);
    await old?.dispose();
    await breath();
    return epoch;
  }

  async #take(flow: Flow, data: Data): Promise<void> {
    const learner = new Learner(this.gpu, flow, this.settings, data, {
      progress: () => {
        this.#drawCurves();
        // what was said was of something that is over
        if (learner.isPlaying || learner.losses.length === 1) this.#goOn();
      },
      refresh: async () => {
        if (learner.isPlaying) await this.screen.refresh();
        else await this.screen.settle();
      },
      turn: (error) => this.#turn(error),
    });
    this.#learner = learner;
    this.stage.view = data.view;
    this.#tellScore(data);
    this.#drawCurves();
    await this.screen.show({ flow, data, version: () => learner.step });
    this.#say("Kernels for this network are being compiled …");
    this.#overlay();
    this.#state("resting");
  }

  /** What the upper curve is; without a density, why there is none and what is told in its place. */
  #tellScore({ start, entropy }: Data): void {
    html("score-title").textContent = start ? "Held-out distance" : "Held-out NLL";
    html("score-hint").textContent = start
      ? "Energy distance between new points, carried over, and the target's; 0 is the target itself. There is no likelihood: of a source of points nobody knows the density, so none follows for the target."
      : `Nats per point, exact by the change of variables.${entropy ? " Dashed: the entropy of the target, which no model can beat." : ""}`;
    const density = input("show-density");
    density.disabled = start !== undefined;
    html("density-choice").title = start ? withoutDensity : "";
  }

  #turn(error: unknown): void {
    const learner = this.#learner;
    if (!learner) return;
    this.#state(learner.isPlaying ? "training" : "resting");
    if (error) {
      this.#fault(error);
      return;
    }
    if (!learner.isPlaying) void this.comparison.update();
    if (learner.isPlaying) this.#forget();
    else if (learner.step >= stepsInOneGo[this.settings.loss] && !this.#hasRested) {
      // the first time that a training comes to its end, the flow is shown
      this.#hasRested = true;
      if (!wantsStillness()) this.clock.run(true);
    }
  }

  #state(state: "opening" | "training" | "resting"): void {
    html("playground").dataset.state = state;
    const isPlaying = state === "training";
    html("play").dataset.playing = String(isPlaying);
    html("play").title = isPlaying ? "Pause" : "Train";
    html("play-word").textContent = isPlaying ? "Pause" : "Train";
  }

  /** What was said is over; a fault stays as long as it takes to read it, for something else may have trained on. */
  #goOn(): void {
    if (performance.now() > this.#readBy) this.#say("");
  }

  #say(words: string, isFault = false): void {
    const notice = html("notice");
    notice.textContent = words;
    this.#readBy = isFault ? performance.now() + millisecondsToRead : 0;
    notice.classList.toggle("fault", isFault);
  }

  #fault(error: unknown): void {
    if (error instanceof Error && error.name === "AbortError") return;
    this.#say(error instanceof Error ? error.message : String(error), true);
  }

  /** Runs what a visitor asked for; what goes wrong is said in the picture. */
  attempt(work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#fault(error));
  }

  #drawCurves(): void {
    if (this.#curvesAreDue) return;
    this.#curvesAreDue = true;
    requestAnimationFrame(() => {
      this.#curvesAreDue = false;
      const { losses = [], scores = [], step = 0, data } = this.#learner ?? {};
      html("steps").textContent = step.toLocaleString("en");
      this.#lossCurve.show(losses);
      this.#scoreCurve.show(scores, data?.entropy);
    });
  }

  // --- what is asked -------------------------------------------------------------------------------------------

  async ask(point: Point): Promise<void> {
    const learner = this.#learner;
    const normalization = learner?.flow.normalization;
    if (!learner || !normalization) return;
    const { time } = this.clock;
    const hasDensity = learner.data.start === undefined;
    const answer = await answerOf(learner.flow, normalization, point, time, hasDensity).catch((error: unknown) => {
      if (learner === this.#learner) this.#fault(error);
    });
    if (!answer || learner !== this.#learner) return;
    this.#answer = answer;
    const [x, y] = point.map((value) => value.toPrecision(3)) as [string, string];
    const [x0, y0] = (answer.path.before[0] ?? point).map((value) => value.toFixed(2)) as [string, string];
    const [x1, y1] = (answer.path.after.at(-1) ?? point).map((value) => value.toFixed(2)) as [string, string];
    const { density } = answer;
    const words = density
      ? `<strong>log p = ${density.logProb.toFixed(4)}</strong> nats at (${x}, ${y}), t = ${time.toFixed(2)}. ` +
        `Twice the steps change it by ${density.error < 5e-5 ? "< 0.0001" : density.error.toFixed(4)}. It started at (${x0}, ${y0}).`
      : `<strong>(${x0}, ${y0}) → (${x1}, ${y1})</strong> by way of (${x}, ${y}) at t = ${time.toFixed(2)}. ` +
        "It has no log p: the source is a set of points.";
    html("asked").innerHTML = words.replaceAll("-", "−");
    this.#overlay();
  }

  /** The weights are others: what was asked for no longer holds. */
  #forget(): void {
    this.#answer = undefined;
    this.#arrows = undefined;
    this.#invite();
    this.#overlay();
  }

  /** What to do to have a point told, where none is. */
  #invite(): void {
    if (this.#answer) return;
    const way = this.#draws ? "Choose Ask in the picture, then click in it" : "Click in the picture";
    html("asked").textContent = `${way}: where does a point come from, and how likely is it?`;
  }

  #timeChanged(): void {
    this.screen.paint();
    if (!this.#learner?.isPlaying) this.attempt(() => this.screen.settle());
    void this.aim();
  }

  /** Arrows of the velocity at the time that is shown, the newest time only. */
  async aim(): Promise<void> {
    if (!input("show-arrows").checked) {
      this.#arrows = undefined;
      this.#overlay();
      return;
    }
    const learner = this.#learner;
    const normalization = learner?.flow.normalization;
    if (this.#isAiming || !learner || !normalization) return;
    this.#isAiming = true;
    const { time } = this.clock;
    try {
      this.#arrows = await arrowsOf(learner.flow, normalization, learner.data.view, time);
    } catch (error) {
      if (learner === this.#learner) this.#fault(error);
    } finally {
      this.#isAiming = false;
    }
    this.#overlay();
    if (time !== this.clock.time) void this.aim();
  }

  #overlay(): void {
    this.stage.show({
      path: this.#answer?.path,
      arrows: this.#arrows,
      hasStrokes: this.#hasStrokes,
    });
  }

  // --- devices that go away --------------------------------------------------------------------------------------

  #watch(): void {
    const { device } = this.gpu;
    void this.gpu.lost.then(async ({ reason }) => {
      if (reason === "destroyed") return;
      this.#say("The GPU went away; another device is being opened, and what was learned is kept.", true);
      this.screen.outdate();
      // any call opens a device: a training does while it runs, and it may be paused at any time
      let asks = false;
      while (this.gpu.device === device) {
        if (!asks && !this.#learner?.isPlaying) {
          asks = true;
          this.attempt(() => this.screen.settle());
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      this.#say("");
      // with its GPU process a browser may lose all that was painted, and take some time until it shows anything again
      for (const milliseconds of [0, 300, 1500, 4000])
        setTimeout(() => {
          this.repaint();
          if (!this.#learner?.isPlaying) this.attempt(() => this.screen.settle());
        }, milliseconds);
      this.#watch();
    });
  }
}
