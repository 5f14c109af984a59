import type { QueueEvents } from "bullmq";
import { describeRange } from "../spread/range-task.ts";
import { failureOf, type RangeJob } from "./protocol.ts";

interface Waiter {
  readonly job: RangeJob;
  resolve(): void;
  reject(error: Error): void;
}

/** Those who wait for jobs, told by the queue's events; each is told once. */
export class Waiters {
  readonly #waiting = new Map<string, Waiter>();

  constructor(events: QueueEvents, onNotice: (text: string) => void) {
    events.on("completed", ({ jobId }) => this.#take(jobId)?.resolve());
    events.on("failed", ({ jobId, failedReason }) => {
      const waiter = this.#take(jobId);
      waiter?.reject(failureOf(failedReason, waiter.job));
    });
    events.on("stalled", ({ jobId }) => {
      const waiter = this.#waiting.get(jobId);
      if (waiter) onNotice(`the worker of ${describeRange(waiter.job)} vanished; another one takes them`);
    });
  }

  /** Settles with the job; register before the job is added. */
  wait(id: string, job: RangeJob): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { job, resolve, reject });
    });
  }

  forget(id: string): void {
    this.#waiting.delete(id);
  }

  #take(id: string): Waiter | undefined {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiter;
  }
}
