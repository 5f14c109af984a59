// The time that is shown, between 0 and 1: set by hand, or running to and fro.
import { button, html, input } from "./dom.ts";

const secondsOnTheWay = 3.5;
const secondsAtTheEnds = { source: 0.5, target: 1.8 };

export class Clock {
  time = 1;
  #isRunning = false;
  #seconds = 0;
  #last: number | undefined;
  readonly #changed: () => void;

  /** `changed` is called when the time is another, or begins to run. */
  constructor(changed: () => void) {
    this.#changed = changed;
    input("time").addEventListener("input", () => {
      this.run(false);
      this.#set(Number(input("time").value));
    });
    button("loop").addEventListener("click", () => this.run(!this.#isRunning));
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  run(isRunning: boolean): void {
    if (this.#isRunning === isRunning) return;
    this.#isRunning = isRunning;
    this.#last = undefined;
    // from the time that is shown, but from the end at once to the beginning
    this.#seconds = this.time >= 1 ? 0 : secondsAtTheEnds.source + this.time * secondsOnTheWay;
    button("loop").dataset.playing = String(isRunning);
    button("loop").ariaPressed = String(isRunning);
    this.#changed();
  }

  /** A frame is due at `now`, in milliseconds. */
  tick(now: number): void {
    if (!this.#isRunning) return;
    const passed = (now - (this.#last ?? now)) / 1000;
    this.#last = now;
    const { source, target } = secondsAtTheEnds;
    // a page that was in the background goes on where it was
    this.#seconds = (this.#seconds + Math.min(passed, 0.1)) % (source + secondsOnTheWay + target);
    this.#set(Math.max(0, Math.min(1, (this.#seconds - source) / secondsOnTheWay)));
  }

  #set(time: number): void {
    this.time = time;
    input("time").value = String(time);
    html("shown-time").textContent = `t = ${time.toFixed(2)}`;
    this.#changed();
  }
}
