import type { Tiling } from "../../shaders/tiling.ts";
import type { TextStore } from "../gpu/store.ts";
import { item } from "../must.ts";
import { sameTiling } from "./candidates.ts";
import { keptTiling, withTiling } from "./kept.ts";
import type { Trial } from "./trial.ts";

/** One kernel whose tiling is to be chosen. */
export interface Choice {
  /** Where choices for its network are kept (kept.ts), and the mode of the kernel among them. */
  readonly key: string;
  readonly mode: string;
  /** The fixed choice first, texts that are slow to compile last. */
  readonly candidates: readonly Tiling[];
  kernelText(tiling: Tiling): string;
  trial(): Trial;
}

/** What a tuner is told of its surroundings, so that it can be tested without a device or a clock. */
export interface TunerHost {
  /** Whether tilings are timed; else only kept choices are used. */
  readonly measure: boolean;
  readonly store: TextStore | undefined;
  /** Seconds, from any start. */
  now(): number;
  pause(seconds: number): Promise<void>;
  /** A number that changes whenever somebody else submits work. */
  activity(): number;
  /** Whether calls wait for kernels to be compiled. */
  isCompiling(): boolean;
  isUsable(): boolean;
}

/** A candidate whose compilation and first run take longer than this ends the search: those after it take longer still. */
const compileSeconds = 3;
/** The search begins when the first call is on its way. */
const delaySeconds = 0.1;
/** Kernels of calls are compiled before candidates: whether there are any is asked this often, before each candidate no longer than this. */
const lookSeconds = 0.05;
const patienceSeconds = 10;
/** The search takes at most this share of the time of running calls. */
const share = 0.1;
/** A candidate must be this much faster to replace the fixed choice: less may be chance. */
const gain = 0.97;
/** Comparisons of the best candidate with the fixed choice, of which the median counts. */
const duels = 5;
/** Length of the work that tilings are compared on: below the least, the latency of the device shows. */
const leastSeconds = 0.005;
const wantedSeconds = 0.02;

/**
 * Chooses tilings: at once the fixed choice or what was kept, and in the background the fastest of the candidates.
 * Only candidates that leave the very bits of the fixed choice are taken, so results do not depend on when that happens.
 * Nothing of a search is ever thrown at a call: what fails is not chosen.
 */
export class Tuner {
  readonly #host: TunerHost;
  readonly #chosen = new Map<string, Tiling>();
  readonly #texts = new Map<string, Promise<string | undefined>>();
  readonly #known = new Map<string, string | undefined>();
  readonly #waiting: Choice[] = [];
  #isRunning = false;

  constructor(host: TunerHost) {
    this.#host = host;
  }

  /** Looks up what is kept for a network. */
  async ready(key: string): Promise<void> {
    if (this.#host.store) await this.#load(key);
  }

  /** What was chosen so far, if this was asked before. */
  chosen(key: string, mode: string): Tiling | undefined {
    return this.#chosen.get(`${key} ${mode}`);
  }

  /** The tiling to use now; a search for a better one begins when this is asked for the first time. */
  choose(choice: Choice): Tiling {
    const [fixed] = choice.candidates;
    if (!fixed) throw new Error("a choice without candidates");
    const id = `${choice.key} ${choice.mode}`;
    const chosen = this.#chosen.get(id);
    if (chosen) return chosen;
    const kept = keptTiling(this.#known.get(choice.key), choice.mode, choice.candidates, choice.kernelText);
    this.#chosen.set(id, kept ?? fixed);
    if (!kept) {
      this.#waiting.push(choice);
      void this.#work();
    }
    return kept ?? fixed;
  }

  #load(key: string): Promise<string | undefined> {
    let text = this.#texts.get(key);
    if (!text) {
      // a store may throw at once, reject, or answer with anything
      text = Promise.resolve()
        .then(() => this.#host.store?.get(key))
        .catch(() => undefined)
        .then((value) => {
          const found = typeof value === "string" ? value : undefined;
          this.#known.set(key, found);
          return found;
        });
      this.#texts.set(key, text);
    }
    return text;
  }

  async #work(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      await this.#host.pause(delaySeconds);
      for (let choice = this.#waiting.shift(); choice; choice = this.#waiting.shift()) await this.#decide(choice);
    } catch {
      // the device was lost or disposed, or has no room: the fixed choice stays
    } finally {
      this.#isRunning = false;
    }
  }

  async #decide(choice: Choice): Promise<void> {
    const id = `${choice.key} ${choice.mode}`;
    const text = await this.#load(choice.key);
    const kept = keptTiling(text, choice.mode, choice.candidates, choice.kernelText);
    if (kept) this.#chosen.set(id, kept);
    if (kept || !this.#host.measure || !this.#host.isUsable()) return;
    const found = await this.#search(choice);
    if (!found) return;
    this.#chosen.set(id, found);
    if (!this.#host.store) return;
    const now = withTiling(this.#known.get(choice.key), choice.mode, found, choice.kernelText(found));
    this.#known.set(choice.key, now);
    await this.#host.store.set(choice.key, now).catch(() => undefined);
  }

  /** The fastest candidate with the bits of the fixed choice, or undefined when the search could not be finished. */
  async #search(choice: Choice): Promise<Tiling | undefined> {
    const [fixed, ...others] = choice.candidates;
    if (!fixed) return undefined;
    const trial = choice.trial();
    try {
      await this.#whileCompiling();
      await trial.warm(fixed);
      let fixedSeconds = await this.#turn(() => trial.time(fixed));
      const isOff = () => fixedSeconds < leastSeconds || fixedSeconds > 4 * wantedSeconds;
      for (let i = 0; i < 4 && isOff(); i++) {
        if (!trial.stretch(wantedSeconds / Math.max(1e-4, fixedSeconds))) break;
        fixedSeconds = await this.#turn(() => trial.time(fixed));
      }
      const wanted = await trial.result();
      let best = fixed;
      let bestSeconds = Math.min(fixedSeconds, await this.#turn(() => trial.time(fixed)));
      for (const tiling of others) {
        await this.#whileCompiling();
        if (!this.#host.isUsable()) return undefined;
        const outcome = await this.#measure(trial, tiling, wanted, bestSeconds);
        if (outcome === "late") break;
        if (outcome < bestSeconds) [best, bestSeconds] = [tiling, outcome];
      }
      if (sameTiling(best, fixed)) return fixed;
      // Once more, side by side: neighbours on the machine slow both.
      const ratios: number[] = [];
      for (let round = 0; round < duels; round++) {
        const before = await this.#turn(() => trial.time(fixed));
        ratios.push((await this.#turn(() => trial.time(best))) / before);
      }
      const median = item(
        ratios.sort((a, b) => a - b),
        (duels - 1) / 2,
      );
      return median < gain ? best : fixed;
    } finally {
      trial.dispose();
    }
  }

  /** Seconds of a candidate, infinite for one that fails or computes other bits; `"late"` for one that took too long to compile. */
  async #measure(trial: Trial, tiling: Tiling, wanted: Uint32Array, best: number): Promise<number | "late"> {
    const start = this.#host.now();
    const before = this.#host.activity();
    const failed = Symbol();
    const warmed = trial.warm(tiling).catch(() => failed);
    const limit = this.#host.pause(compileSeconds).then(() => "late" as const);
    const outcome = await Promise.race([warmed, limit]);
    // Compilation cannot be interrupted: it ends by itself and finds the trial gone.
    if (outcome === "late" || this.#host.now() - start > compileSeconds) return "late";
    // a compilation takes a core, which calls beside it may lack
    if (this.#host.activity() !== before) await this.#host.pause(this.#host.now() - start);
    if (outcome === failed) return Number.POSITIVE_INFINITY;
    try {
      const seconds = await this.#turn(() => trial.time(tiling));
      const got = await trial.result();
      if (got.length !== wanted.length || got.some((bits, i) => bits !== wanted[i])) return Number.POSITIVE_INFINITY;
      return seconds > 1.3 * best ? seconds : Math.min(seconds, await this.#turn(() => trial.time(tiling)));
    } catch (error) {
      if (!this.#host.isUsable()) throw error;
      return Number.POSITIVE_INFINITY;
    }
  }

  /** Lets calls have their kernels first. */
  async #whileCompiling(): Promise<void> {
    const { isCompiling, isUsable, now, pause } = this.#host;
    const start = now();
    while (isCompiling() && isUsable() && now() - start < patienceSeconds) await pause(lookSeconds);
  }

  /** Does one piece of work; where calls run beside it, they get most of the time. */
  async #turn(work: () => Promise<number>): Promise<number> {
    const { now, activity, pause } = this.#host;
    const start = now();
    const before = activity();
    const result = await work();
    if (activity() !== before) await pause((now() - start) * (1 / share - 1));
    return result;
  }
}
