/**
 * Loads a library that asks, while it is loaded, where it runs. TensorFlow.js takes Node and Deno for a Node without WebGPU and
 * looks for Node's modules in ways that a bundle does not have; a worker's scope says "browser" to it. Afterwards it is gone.
 */
export async function loadAsInBrowser<T>(load: () => Promise<T>): Promise<T> {
  if (typeof window !== "undefined" || "WorkerGlobalScope" in globalThis) return load();
  Object.defineProperty(globalThis, "WorkerGlobalScope", { value: class {}, configurable: true });
  try {
    return await load();
  } finally {
    Reflect.deleteProperty(globalThis, "WorkerGlobalScope");
  }
}
