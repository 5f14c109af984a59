// Keeps the picture up to date with a flow whose weights change, and draws it when something in it is another.
import type { Flow, Gpu } from "pushforward";
import { createParticleView, type ParticleView } from "pushforward/view";
import type { Clock } from "./clock.ts";
import { breath, byId, fitToPixels, input } from "./dom.ts";
import { type Origin, originOf } from "./origin.ts";
import { Pace } from "./pace.ts";
import { pictureOf } from "./picture.ts";
import { Densities, destroySwarm, type Swarm, swarmOf } from "./swarm.ts";
import type { Data } from "./targets.ts";
import { currentTheme } from "./theme.ts";

/** What is shown: a flow, the data that it learns, and a number that is another when its weights are. */
interface Subject {
  readonly flow: Flow;
  readonly data: Data;
  version(): number;
}

const mostPoints = 3000;

export class Screen {
  canvas = byId("view", HTMLCanvasElement);
  readonly #sizes = new ResizeObserver(() => this.paint());
  #gpu: Gpu;
  #clock: Clock;
  #particles: () => number;
  readonly #isShared: () => boolean;
  readonly #pace = new Pace();
  #theme = currentTheme();
  #view: ParticleView | undefined;
  #making: Promise<void> | undefined;
  #subject: Subject | undefined;
  #swarm: Swarm | undefined;
  #swarmVersion = "";
  #densities: Densities | undefined;
  #points: { device: GPUDevice; buffer: GPUBuffer; count: number } | undefined;
  #origin: Origin = { centre: [0, 0], scale: 1 };
  #isDue = false;
  #settling: Promise<void> | undefined;
  #refreshedAt = 0;
  #refreshing = 0;

  /** `isShared`: whether a training waits for the device, too. */
  constructor(gpu: Gpu, clock: Clock, particles: () => number, isShared: () => boolean) {
    this.#gpu = gpu;
    this.#clock = clock;
    this.#particles = particles;
    this.#isShared = isShared;
    this.#sizes.observe(this.canvas);
  }

  /** Another theme, for example: everything is drawn anew. */
  recolour(): void {
    this.#theme = currentTheme();
    this.paint();
  }

  /** Resolves when the one that was shown is no longer used. */
  async show(subject: Subject | undefined): Promise<void> {
    this.#subject = undefined;
    await this.#settling;
    this.#densities?.dispose();
    this.#densities = undefined;
    this.#points?.buffer.destroy();
    this.#points = undefined;
    this.#swarmVersion = "";
    if (!subject) {
      destroySwarm(this.#swarm);
      this.#swarm = undefined;
    }
    this.#subject = subject;
    if (subject) this.#origin = originOf(subject.flow, subject.data);
    if (subject) this.#densities = new Densities(subject.data.view, this.#gpu.info.software);
    this.paint();
  }

  /** A flow from rows has no density. */
  get #showsDensity(): boolean {
    return input("show-density").checked && this.#subject?.data.start === undefined;
  }

  get isEmpty(): boolean {
    return this.#swarm === undefined;
  }

  /** Between two steps of a training: particles and density of its weights, a third of the time at most. */
  async refresh(): Promise<void> {
    const subject = this.#subject;
    const begun = performance.now();
    if (!subject || begun - this.#refreshedAt < Math.max(60, 2 * this.#refreshing)) return;
    await this.#settling;
    this.#densities?.outdate();
    await this.#bring(subject);
    this.#refreshedAt = performance.now();
    const took = this.#refreshedAt - begun;
    // the first one waited for kernels
    this.#refreshing = this.#refreshing === 0 ? Math.min(1000, took) : took;
  }

  /** When nothing is trained: all that is out of date, one thing after the other, what is looked at first. */
  settle(): Promise<void> {
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined;
    });
    return this.#settling;
  }

  outdate(): void {
    this.#densities?.outdate();
    this.#swarmVersion = "";
  }

  async #settle(): Promise<void> {
    let more = true;
    while (more) {
      const subject = this.#subject;
      if (!subject) return;
      more = await this.#bring(subject, this.#clock.isRunning);
      await breath();
    }
  }

  /** The particles, and the density at the time that is shown or, if that is there, at others; false when nothing was to do. */
  async #bring(subject: Subject, withOthers = false): Promise<boolean> {
    const { flow } = subject;
    const device = () => this.#gpu.device;
    const wanted = `${subject.version()} ${this.#particles()}`;
    let isNew = false;
    if (wanted !== this.#swarmVersion || this.#swarm?.device !== this.#gpu.device) {
      const swarm = await swarmOf(flow, device, this.#particles(), this.#gpu.info.software);
      destroySwarm(this.#swarm);
      this.#swarm = swarm;
      this.#swarmVersion = wanted;
      isNew = true;
    }
    const densities = this.#densities;
    if (densities && this.#showsDensity && subject === this.#subject) {
      const level = densities.levelOf(this.#clock.time);
      const next = densities.isCurrent(level) ? (withOthers ? densities.next(level) : undefined) : level;
      if (next !== undefined) {
        await densities.compute(flow, device, next);
        if (densities !== this.#densities) densities.dispose();
        isNew = true;
      }
    }
    this.paint();
    return isNew;
  }

  /** Draws at the next frame. */
  paint(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#atNextFrame();
  }

  #atNextFrame(): void {
    requestAnimationFrame((now) => {
      const { device, info } = this.#gpu;
      if (info.software && this.#pace.isClosed(device, now)) {
        this.#atNextFrame();
        return;
      }
      this.#isDue = false;
      this.#clock.tick(now);
      this.drawNow();
      if (info.software) this.#pace.drawn(device, this.#isShared);
      if (this.#clock.isRunning) this.paint();
    });
  }

  /** Draws in this task, so that the canvas can be read in it. */
  drawNow(): void {
    const { device } = this.#gpu;
    if (this.#gpu.isLost) return;
    if (this.#view?.device !== device) {
      this.#making ??= this.#renew(device).finally(() => {
        this.#making = undefined;
      });
      return;
    }
    fitToPixels(this.canvas, Math.min(2048, device.limits.maxTextureDimension2D));
    const { time } = this.#clock;
    const { data } = this.#subject ?? {};
    const normalization = this.#subject?.flow.normalization;
    const logProb = this.#showsDensity ? this.#densities?.shown(time, device) : undefined;
    const hasSwarm = this.#swarm?.device === device && this.#subject && input("show-particles").checked;
    const scales = normalization?.scale.reduce((sum, scale) => sum + Math.log(scale), 0) ?? 0;
    const scene = {
      view: data?.view ?? { centre: [0, 0], half: 1 },
      time,
      theme: this.#theme,
      swarm: hasSwarm ? this.#swarm : undefined,
      origin: this.#origin,
      hasTrails: input("show-trails").checked,
      density: logProb && { logProb, side: this.#densities?.side ?? 2, reference: -1.3 - scales },
      // while the first kernels are compiled there is nothing else to see
      points: data && (input("show-points").checked || !this.#swarm) ? this.#dataPoints(device, data) : undefined,
    };
    this.#view.draw(pictureOf(scene, this.canvas.width));
    this.canvas.dataset.particles = String(scene.swarm?.count ?? 0);
  }

  /** A canvas that belonged to a device that was lost may not show what another one draws. */
  #replaceCanvas(): void {
    const fresh = this.canvas.cloneNode() as HTMLCanvasElement;
    this.#sizes.unobserve(this.canvas);
    this.canvas.replaceWith(fresh);
    this.canvas = fresh;
    this.#sizes.observe(fresh);
  }

  async #renew(device: GPUDevice): Promise<void> {
    try {
      if (this.#view) this.#replaceCanvas();
      this.#view = await createParticleView(this.canvas, this.#gpu);
      this.paint();
    } catch (error) {
      // a device that was lost meanwhile: the next one has its turn
      if (!this.#gpu.isLost && device === this.#gpu.device) throw error;
    }
  }

  #dataPoints(device: GPUDevice, { train }: Data): { buffer: GPUBuffer; count: number } {
    if (this.#points?.device === device) return this.#points;
    const count = Math.min(mostPoints, train.length / 2);
    const buffer = device.createBuffer({
      label: "site: data",
      size: 8 * count,
      usage: GPUBufferUsage.VERTEX | GPUBufferUsage.COPY_DST,
    });
    // rows of a table may be sorted
    const every = train.length / 2 / count;
    const rows = Float32Array.from(
      { length: 2 * count },
      (_, i) => train[2 * Math.floor((i >> 1) * every) + (i % 2)] as number,
    );
    device.queue.writeBuffer(buffer, 0, rows);
    this.#points = { device, buffer, count };
    return this.#points;
  }
}
