import type { TextStore } from "./store.ts";

const database = "pushforward";
const table = "texts";

const settled = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** Texts in IndexedDB, or no store where there is none (a page without an origin, a runtime without a database). */
export function indexedDbStore(): TextStore | undefined {
  const { indexedDB } = globalThis;
  if (!indexedDB) return undefined;
  const open = async (): Promise<IDBDatabase> => {
    const request = indexedDB.open(database, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(table);
    return settled(request);
  };
  const use = async <T>(mode: IDBTransactionMode, work: (texts: IDBObjectStore) => IDBRequest<T>): Promise<T> => {
    const opened = await open();
    try {
      return await settled(work(opened.transaction(table, mode).objectStore(table)));
    } finally {
      opened.close();
    }
  };
  return {
    async get(key) {
      const value: unknown = await use("readonly", (texts) => texts.get(key));
      return typeof value === "string" ? value : undefined;
    },
    async set(key, value) {
      await use("readwrite", (texts) => texts.put(value, key));
    },
  };
}
