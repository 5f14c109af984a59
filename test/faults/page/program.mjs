// Runs in a page or in a dedicated worker: one call at a time, disturbed at the moments that the host asks for.
import { openGpu } from "/dist/pushforward.min.js";
import { calls } from "./calls.mjs";
import { beforeNextDevice, isNewest, lossCount, nextLoss, takeStray } from "./devices.mjs";

/**
 * @typedef {object} Moment
 * @property {number} at the part of the call that is done, from 0 (as the call is made) to 1; 2 when a training has ended
 * @property {true} [waits] nothing more is asked of the call before the loss has been seen; at 0, the call is made after it
 * @property {true} [twice] a second fault comes when the library asks the new adapter for a device
 * @property {"leave" | "abort"} [then] what the caller does when the loss has been seen
 *
 * @typedef {object} Outcome
 * @property {string} digest of all bytes that the call gave; "" when it gave none
 * @property {string} end how it ended: "gave its result", "was left", "was aborted", or its error
 * @property {number} seconds
 * @property {number} secondsSinceFault from the last fault to the end
 * @property {number} losses devices lost while it ran
 * @property {number} liveBuffers
 * @property {boolean} isNewestDevice whether `gpu.device` is the one that was opened last
 * @property {boolean} isAlive whether `gpu.lost` is pending
 * @property {string[]} stray errors and rejections that nobody handled
 */

/** A call that has come so far waits for a fault that was asked for and has not struck: too late, it would test nothing. */
const late = 0.8;

/** @param {(event: { type: "fault" } | { type: "done", done: number }) => Promise<void>} tell resolves when the host has acted on it */
export function makeProgram(tell) {
  let gpu;
  let flow;
  let call;

  return {
    /** Opens a device for one of the {@link calls}. */
    async open(name, options) {
      call = calls[name];
      gpu = await openGpu({ software: "allow", ...options });
      flow = call.create(gpu);
      return gpu.info.description || gpu.info.architecture;
    },

    /** @param {Moment[]} moments @returns {Promise<Outcome>} */
    async perform(moments) {
      const due = [...moments];
      const abort = new AbortController();
      const lossesBefore = lossCount();
      const faults = [];
      let faultAt = Number.NaN;
      let isLeft = false;
      /** Resolves when the last fault has struck. */
      let struck = Promise.resolve();
      const fault = async ({ waits, twice, then }) => {
        const loss = nextLoss();
        struck = loss;
        if (twice) beforeNextDevice(() => tell({ type: "fault" }));
        faultAt = performance.now();
        const acted = tell({ type: "fault" });
        faults.push(acted);
        if (!waits && !then) return;
        await acted;
        await loss;
        if (then === "abort") abort.abort();
        isLeft ||= then === "leave";
      };
      const told = async (done) => {
        tell({ type: "done", done });
        while (due[0]?.at <= done) {
          const moment = due.shift();
          await struck;
          await fault(moment);
        }
        if (done >= late) await struck;
        return isLeft ? "leave" : "go on";
      };

      const start = performance.now();
      let result;
      let end = "gave its result";
      try {
        await told(0);
        result = await call.run(flow, told, abort.signal);
        if (result === "left") end = "was left";
      } catch (error) {
        end = abort.signal.aborted && error === abort.signal.reason ? "was aborted" : describe(error);
      }
      const now = performance.now();
      const losses = lossCount() - lossesBefore;
      await Promise.all(faults);
      return {
        digest: Array.isArray(result) ? await digest(result) : "",
        end,
        seconds: (now - start) / 1000,
        secondsSinceFault: (now - faultAt) / 1000,
        losses,
        liveBuffers: gpu.liveBufferCount,
        isNewestDevice: isNewest(gpu.device),
        isAlive: (await Promise.race([gpu.lost, "alive"])) === "alive",
        stray: takeStray(),
      };
    },
  };
}

/** A DOMException has a code, too, which is a number without meaning. */
const describe = (error) => `${error instanceof DOMException ? error.name : error?.code}: ${error?.message ?? error}`;

/** SHA-256 of the bytes of all arrays, with their lengths. */
async function digest(arrays) {
  const lengths = Float64Array.from(arrays, (array) => array.byteLength);
  const all = await new Blob([lengths, ...arrays]).arrayBuffer();
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
