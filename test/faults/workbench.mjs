import { strict as assert } from "node:assert";

/** @typedef {import("./page/program.mjs").Outcome} Outcome @typedef {import("./home/program.mjs").Moment} Moment */

/** Pages by call, each with one device that the call's tests share, as an application has it; and what undisturbed calls give. */
export class Workbench {
  #chrome;
  #pages = new Map();
  #undisturbed = new Map();

  /** @param {import("./chrome.mjs").FaultyChrome} chrome */
  constructor(chrome) {
    this.#chrome = chrome;
  }

  /** Runs a test on the page of a call. A page on which one has failed is not used again. */
  async on(call, test) {
    const page = this.#pages.get(call) ?? (await this.#open(call));
    this.#pages.delete(call);
    try {
      await test(page, await this.undisturbed(call));
    } catch (error) {
      await page.close();
      throw error;
    }
    this.#pages.set(call, page);
  }

  /** Runs a test on a page of its own. */
  async alone(call, options, test) {
    const page = await this.#open(call, options);
    try {
      await test(page, await this.undisturbed(call));
    } finally {
      await page.close();
    }
  }

  /** @returns {Promise<Outcome>} of a call on a page that never sees a fault */
  undisturbed(call) {
    const known = this.#undisturbed.get(call) ?? this.#measure(call);
    this.#undisturbed.set(call, known);
    return known;
  }

  async closePages() {
    for (const page of this.#pages.values()) await page.close();
    this.#pages.clear();
  }

  async #measure(call) {
    const page = await this.#open(call);
    try {
      const outcome = await page.perform();
      expectResult(outcome);
      return outcome;
    } finally {
      await page.close();
    }
  }

  async #open(call, { inWorker = false, ...options } = {}) {
    const page = await this.#chrome.openPage({ inWorker });
    try {
      await page.open(call, options);
      return page;
    } catch (error) {
      await page.close();
      throw error;
    }
  }
}

/** @param {Outcome} outcome */
function expectResult({ end, stray }) {
  assert.equal(end, "gave its result", `the call did not give its result, but: ${end}`);
  assert.deepEqual(stray, [], "errors that nobody handled");
}

/**
 * The call gave its result, and it is that of an undisturbed one; so is what stays on the device, which is alive.
 * @param {Outcome} outcome
 * @param {Outcome} undisturbed
 * @param {{ needsDevice?: boolean }} [options] false: nothing was asked of the device after the loss, so it may not be open yet
 */
export function expectSame(outcome, undisturbed, { needsDevice = true } = {}) {
  expectResult(outcome);
  assert.equal(outcome.digest, undisturbed.digest, "the result has other bytes than that of an undisturbed call");
  assert.ok(outcome.isNewestDevice, "gpu.device is not the device that was opened last");
  if (!needsDevice) return;
  assert.ok(outcome.isAlive, "gpu.lost has resolved, but the call has used the device since");
  const { liveBuffers } = outcome;
  const wanted = undisturbed.liveBuffers;
  assert.equal(liveBuffers, wanted, `${liveBuffers} buffers live after the call instead of ${wanted}`);
}

/** The faults struck while the call ran: one that comes too late tests nothing. @param {Outcome} outcome */
export function expectLosses({ losses }, least, most = least) {
  const wanted = least === most ? least : `${least} to ${most}`;
  assert.ok(
    losses >= least && losses <= most,
    `the call ran through ${losses} losses of its device instead of ${wanted}`,
  );
}

/** The call was told of the loss, and soon. @param {Outcome} outcome */
export function expectDeviceLost({ end, secondsSinceFault, stray }, seconds) {
  assert.match(end, /^device-lost: /, `the call should have rejected with "device-lost", but: ${end}`);
  assert.ok(secondsSinceFault < seconds, `the call rejected ${secondsSinceFault.toFixed(1)} s after the fault`);
  assert.deepEqual(stray, [], "errors that nobody handled");
}
