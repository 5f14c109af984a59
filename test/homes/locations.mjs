import { fileURLToPath } from "node:url";

/** The checkout. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Bundles that run in a home are written here. It has a node_modules of its own, which holds the built package. */
export const workFolder = fileURLToPath(new URL("../../.cache/homes/", import.meta.url));

export const homes = /** @type {const} */ (["node", "chrome", "deno"]);
