// Turns of the picture and of everything else that needs the device, on an adapter that draws as slowly as it computes.

/** One picture at a time; where others wait for the device, they have it afterwards for as long as the picture took. */
export class Pace {
  #device: GPUDevice | undefined;
  #begun: number | undefined;
  #restsUntil = 0;

  /** Whether a picture has to wait. What is known of one device says nothing of another. */
  isClosed(device: GPUDevice, now: number): boolean {
    return device === this.#device && (this.#begun !== undefined || now < this.#restsUntil);
  }

  /** A picture has been submitted; `others`: whether they wait for the device once it is drawn. */
  drawn(device: GPUDevice, others: () => boolean): void {
    const begun = performance.now();
    this.#device = device;
    this.#begun = begun;
    const ended = () => {
      if (device !== this.#device || begun !== this.#begun) return;
      const now = performance.now();
      this.#begun = undefined;
      this.#restsUntil = others() ? now + (now - begun) : 0;
    };
    device.queue.onSubmittedWorkDone().then(ended, ended);
  }
}
