import { indexedDbStore } from "./indexed-db.ts";

export { countTurns, patiently, pause, provideGpu } from "./navigator.ts";
export { waitingBlocks, waitingSpins } from "./waiting.ts";

/** Tuned choices are kept in the page's IndexedDB, where it has one. */
export const defaultStore = indexedDbStore;

const gone: GPUDevice[] = [];

/** Keeps a lost device from being collected: Chrome's renderer crashes when a page is left after that. */
export function keepLost(device: GPUDevice): void {
  gone.push(device);
}
