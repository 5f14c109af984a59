import { indexedDbStore } from "./indexed-db.ts";

export { countTurns, patiently, pause, provideGpu } from "./navigator.ts";
export { waitingBlocks, waitingSpins } from "./waiting.ts";

/** Tuned choices are kept in the page's IndexedDB, where it has one. */
export const defaultStore = indexedDbStore;
