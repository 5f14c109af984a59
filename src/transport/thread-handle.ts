import type { Match, MatchJob } from "./match.ts";

/** A thread that pairs points, as its caller holds it: what `startThread` of the platform gives (import condition `#matching`). */
export interface MatchingThread {
  /** Jobs are done in order. While one is in work the program stays alive, else a thread does not keep it. */
  post(job: MatchJob): void;
  /** Ends it at once, whatever it does. */
  end(): void;
}

export interface MatchingEvents {
  onMatch(match: Match): void;
  /** Called at least once when the thread has ended by itself, or could not be started. */
  onGone(): void;
}
