// Watches the devices that the library opens, without its help: what it says of a loss is to be checked.

/** @type {GPUDevice[]} in the order in which they were opened */
const opened = [];
/** @type {string[]} errors that no scope caught and rejections that nobody handled */
const stray = [];
/** @type {Set<() => void>} */
const waiting = new Set();
let losses = 0;
/** @type {(() => Promise<void>) | undefined} */
let beforeNext;

const requestDevice = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const before = beforeNext;
  beforeNext = undefined;
  await before?.();
  const device = await requestDevice.call(this, descriptor);
  opened.push(device);
  device.addEventListener("uncapturederror", ({ error }) => stray.push(`a device's error: ${error.message}`));
  device.lost.then(() => {
    losses++;
    for (const resolve of waiting) resolve();
    waiting.clear();
  });
  return device;
};

globalThis.addEventListener("unhandledrejection", ({ reason }) => stray.push(`an unhandled rejection: ${reason}`));

/** Devices lost so far. */
export const lossCount = () => losses;

/** Resolves at the next loss of a device. */
export const nextLoss = () => new Promise((resolve) => waiting.add(() => resolve(undefined)));

/** Runs `work` once, between the library's next request of a device and the browser's look at it. */
export function beforeNextDevice(work) {
  beforeNext = work;
}

/** Whether a device is the newest of those opened. */
export const isNewest = (device) => device === opened.at(-1);

/** What went astray since this was asked last. */
export const takeStray = () => stray.splice(0);
