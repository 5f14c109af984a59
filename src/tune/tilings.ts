import { pause } from "#provider";
import type { Tiling } from "../../shaders/tiling.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { LoadedTuner, Question } from "./question.ts";

/** No call waits longer than this for what was kept: the fixed choice does as well, and gives the same bits. */
const lookupMilliseconds = 20;

/** The tilings of a device's fused kernels: the fixed choices, until something faster is known. */
export class Tilings {
  readonly #gpu: Gpu;
  #loading: Promise<LoadedTuner | undefined> | undefined;
  #tuner: LoadedTuner | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Whether anything but the fixed choices can come out. */
  get isActive(): boolean {
    const { measure, store } = this.#gpu.current.profile.tuning;
    return measure || store !== undefined;
  }

  /** Gives what is kept for a network a short while to be found. */
  async ready(key: string): Promise<void> {
    if (!this.isActive || this.#tuner) return;
    const found = this.#load().then((tuner) => tuner?.ready(key));
    await Promise.race([found, pause(lookupMilliseconds)]);
  }

  /** The tiling to use now. It may change between calls or chunks, never what they compute. */
  choose(question: Question): Tiling {
    if (this.#tuner) return this.#tuner.choose(question);
    if (this.isActive) void this.#load().then((tuner) => tuner?.choose(question));
    return question.fixed;
  }

  /** A tuner that cannot be loaded, such as from a page that has the main file alone, is done without. */
  #load(): Promise<LoadedTuner | undefined> {
    this.#loading ??= import("./on-demand.ts").then(
      ({ makeTuner }) => {
        this.#tuner = makeTuner(this.#gpu);
        return this.#tuner;
      },
      () => undefined,
    );
    return this.#loading;
  }
}

const ofDevices = new WeakMap<Gpu, Tilings>();

/** The tilings of a device: one for all of its flows, so that searches come one after the other. */
export function tilingsOf(gpu: Gpu): Tilings {
  let tilings = ofDevices.get(gpu);
  if (!tilings) {
    tilings = new Tilings(gpu);
    ofDevices.set(gpu, tilings);
  }
  return tilings;
}
