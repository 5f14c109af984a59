import { processors, startThread } from "#matching";
import { type Match, type MatchJob, match } from "./match.ts";
import type { MatchingThread } from "./thread-handle.ts";

/** Half of the processors, at most four: the device's driver needs some, and in software it needs them all. */
export const defaultThreads = (): number => Math.max(1, Math.min(4, Math.floor(processors() / 2)));

interface Errand {
  readonly job: MatchJob;
  readonly resolve: (found: Match) => void;
}

interface Member {
  readonly thread: MatchingThread;
  /** Errands in work, in order. */
  readonly errands: Errand[];
}

/**
 * Pairs points on threads, and where none can be started (a page's policy, a file that a bundler did not take along) on this one, to
 * the same bits. Threads are started with the first job.
 */
export class Matching {
  readonly #wanted: number;
  #members: Set<Member> | undefined;
  #isClosed = false;

  constructor(threads: number) {
    this.#wanted = threads;
  }

  /** Jobs that are worth asking for before they are needed. */
  get ahead(): number {
    return 4 * (this.#members?.size ?? this.#wanted);
  }

  /** Never settles when it is closed meanwhile. */
  solve(job: MatchJob): Promise<Match> {
    this.#members ??= this.#start();
    return new Promise((resolve) => this.#give({ job, resolve }));
  }

  /** Ends the threads. May be called twice. */
  close(): void {
    this.#isClosed = true;
    for (const { thread } of this.#members ?? []) thread.end();
    this.#members?.clear();
  }

  #give(errand: Errand): void {
    if (this.#isClosed) return;
    let freest: Member | undefined;
    for (const member of this.#members ?? [])
      if (!freest || member.errands.length < freest.errands.length) freest = member;
    if (!freest) {
      // not at once: what was lost together with a thread is done one by one, and the program has its turns in between
      setTimeout(() => this.#isClosed || errand.resolve(match(errand.job)));
      return;
    }
    freest.errands.push(errand);
    freest.thread.post(errand.job);
  }

  #start(): Set<Member> {
    const members = new Set<Member>();
    for (let i = 0; i < this.#wanted; i++) {
      const errands: Errand[] = [];
      try {
        const thread = startThread({
          onMatch: (found) => errands.shift()?.resolve(found),
          onGone: () => {
            if (members.delete(member)) for (const errand of errands.splice(0)) this.#give(errand);
          },
        });
        const member: Member = { thread, errands };
        members.add(member);
      } catch {
        break;
      }
    }
    return members;
  }
}
