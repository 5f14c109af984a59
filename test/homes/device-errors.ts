import type { Gpu } from "pushforward";

const filters: readonly GPUErrorFilter[] = ["validation", "internal", "out-of-memory"];

/** Collects what a device reports while a test runs: errors caught by scopes, and those that escape them. */
export class DeviceErrors {
  readonly #device: GPUDevice;
  readonly #escaped: string[] = [];
  readonly #listener: (event: Event) => void;

  constructor(gpu: Gpu) {
    this.#device = gpu.device;
    this.#listener = (event) => {
      // Not printed by the runtime as well: the test that runs reports it.
      event.preventDefault();
      this.#escaped.push(`uncaptured: ${(event as GPUUncapturedErrorEvent).error.message}`);
    };
    this.#device.addEventListener("uncapturederror", this.#listener);
  }

  open(): void {
    for (const filter of filters) this.#device.pushErrorScope(filter);
  }

  /** Closes the scopes and tells what was reported since the last call. */
  async close(): Promise<string[]> {
    const scopes = filters.map(() => this.#device.popErrorScope());
    const messages: string[] = [];
    for (const [i, result] of (await Promise.allSettled(scopes)).entries()) {
      const filter = filters[filters.length - 1 - i] ?? "";
      if (result.status === "rejected")
        messages.push(`an error scope was popped twice or left open (${String(result.reason)})`);
      else if (result.value) messages.push(`${filter} error: ${result.value.message}`);
    }
    return [...messages, ...this.#escaped.splice(0)];
  }

  dispose(): void {
    this.#device.removeEventListener("uncapturederror", this.#listener);
  }
}
