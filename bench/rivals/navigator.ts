/**
 * Puts `gpu` where libraries written for browsers look for it: `navigator.gpu`. Node 20 has no navigator, later ones have one
 * without WebGPU; in browsers and Deno nothing changes. The constants (GPUBufferUsage …) are there since our own device was opened.
 */
export function provideNavigatorGpu(gpu: GPU): void {
  if (typeof navigator === "undefined") {
    const value = { gpu, userAgent: "Node.js", hardwareConcurrency: 1 };
    Object.defineProperty(globalThis, "navigator", { value, configurable: true });
  } else if (!navigator.gpu) {
    Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  }
}
