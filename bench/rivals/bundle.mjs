// Bundles the rivals for a home. They are packages of their own, so that nobody who only uses the library installs them.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Said when the packages are not installed. */
export const howToInstall = "run `npm ci --prefix bench/rivals` to install what the benchmark compares with";

/** Whether the rivals' packages are installed. */
export function areRivalsInstalled() {
  return existsSync(join(here, "node_modules", "@jax-js", "jax", "package.json"));
}

/** Installs the rivals' packages when they are first asked for. */
export function installRivals() {
  if (areRivalsInstalled()) return;
  console.log("Installing what we are compared with (bench/rivals) …");
  execFileSync("npm", ["ci", "--prefix", here, "--loglevel=error"], { stdio: "inherit" });
}

/**
 * Writes rivals.mjs, which exports `rivals`, with its chunks and what they load at run time beside it. One bundle serves all homes;
 * a rival is loaded when it is asked for.
 * @param {string} folder where the files go; a page must serve all of it
 * @returns {Promise<string>} the path of rivals.mjs
 */
export async function bundleRivals(folder) {
  if (!areRivalsInstalled()) throw new Error(howToInstall);
  await mkdir(folder, { recursive: true });
  await build({
    entryPoints: { rivals: join(here, "index.ts") },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    chunkNames: "rival-[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    external: ["webgpu", "node:child_process", "node:readline"],
    // for the one whose program is no module
    define: { RIVALS_FOLDER: JSON.stringify(here) },
    logLevel: "error",
  });
  const wasm = "ort-wasm-simd-threaded.asyncify.wasm";
  await copyFile(join(here, "node_modules", "onnxruntime-web", "dist", wasm), join(folder, wasm));
  return join(folder, "rivals.mjs");
}
