import { indexedDbStore } from "./indexed-db.ts";

export { countTurns, pause, provideGpu, waitingSpins } from "./navigator.ts";

/** Tuned choices are kept in the page's IndexedDB, where it has one. */
export const defaultStore = indexedDbStore;
