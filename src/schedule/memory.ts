import type { Session } from "../gpu/session.ts";

interface Request {
  readonly bytes: number;
  readonly grant: () => void;
}

/** A running call that holds memory for chunks. */
interface Holder {
  /** Brings what is finished back to the host, so that its memory is free without the call's consumer. */
  recall(): void;
}

/**
 * The memory budget that all running calls on a device share. A chunk waits until the bytes of all chunks fit; what is finished is
 * recalled to the host meanwhile, so a consumer that pauses, or that makes another call between two chunks, keeps nobody waiting.
 */
class MemoryBudget {
  readonly #limit: number;
  readonly #holders = new Set<Holder>();
  readonly #waiting: Request[] = [];
  /** Bytes of chunks, which come back soon, and of what a call keeps for as long as it runs. */
  #bytes = 0;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes that one chunk of a call should hold, when each of the running calls has `chunks` of them. */
  share(chunks: number): number {
    const left = Math.max(this.#limit / 8, this.#limit - this.#held);
    return left / chunks / Math.max(1, this.#holders.size);
  }

  join(holder: Holder): void {
    this.#holders.add(holder);
  }

  leave(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /** Waits for room, first come first served, and returns what gives it back. A chunk that is alone always has room. */
  async reserve(bytes: number, race: <T>(promise: Promise<T>) => Promise<T>): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      let granted: Request | undefined;
      const turn = new Promise<void>((grant) => {
        granted = { bytes, grant };
        this.#waiting.push(granted);
      });
      for (const holder of this.#holders) holder.recall();
      try {
        await race(turn);
      } catch (error) {
        const place = granted ? this.#waiting.indexOf(granted) : -1;
        if (place >= 0) this.#waiting.splice(place, 1);
        else this.#free(bytes);
        this.#serve();
        throw error;
      }
    } else this.#bytes += bytes;
    let isHeld = true;
    return () => {
      if (isHeld) this.#free(bytes);
      isHeld = false;
    };
  }

  /** Notes memory that a call keeps while it runs, such as a training's; it waits for nobody, but leaves less to the chunks. */
  hold(bytes: number): () => void {
    this.#held += bytes;
    return () => {
      this.#held -= bytes;
      this.#serve();
    };
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + this.#held + bytes <= this.#limit;
  }

  #free(bytes: number): void {
    this.#bytes -= bytes;
    this.#serve();
  }

  #serve(): void {
    for (let [next] = this.#waiting; next && this.#fits(next.bytes); [next] = this.#waiting) {
      this.#waiting.shift();
      this.#bytes += next.bytes;
      next.grant();
    }
  }
}

const budgets = new WeakMap<Session, MemoryBudget>();

/** The budget that all calls on a Gpu share. */
export function budgetOf(session: Session): MemoryBudget {
  let budget = budgets.get(session);
  if (!budget) {
    budget = new MemoryBudget(session.profile.memoryBudget);
    budgets.set(session, budget);
  }
  return budget;
}
