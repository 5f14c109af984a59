// What is measured beside time: bytes on the device and resident memory of the process.
import process from "node:process";

/** Counts the bytes of all buffers of a device from now on, at `createBuffer` and `destroy`, and copies: the library is not asked. */
export function meterDevice({ device }) {
  const meter = { bytes: 0, most: 0, copies: 0 };
  const create = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    meter.bytes += buffer.size;
    meter.most = Math.max(meter.most, meter.bytes);
    const destroy = buffer.destroy.bind(buffer);
    let lives = true;
    buffer.destroy = () => {
      if (lives) meter.bytes -= buffer.size;
      lives = false;
      destroy();
    };
    return buffer;
  };
  const { prototype } = globalThis.GPUCommandEncoder;
  const { copyBufferToBuffer } = prototype;
  prototype.copyBufferToBuffer = function (...all) {
    meter.copies++;
    copyBufferToBuffer.apply(this, all);
  };
  return meter;
}

/** The largest resident memory of this process while `work` runs, looked at every 10 ms. On a software adapter the device's bytes are among them. */
export async function withResidentMemory(work) {
  let most = 0;
  const look = () => {
    most = Math.max(most, process.memoryUsage.rss());
  };
  const timer = setInterval(look, 10);
  try {
    look();
    const result = await work();
    look();
    return { result, most };
  } finally {
    clearInterval(timer);
  }
}

export async function secondsOf(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
export const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);
export const millions = (rate) => (rate / 1e6).toPrecision(3);
export const milliseconds = (value) => value.toFixed(value < 10 ? 1 : 0);
