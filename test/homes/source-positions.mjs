import { existsSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { root, workFolder } from "./locations.mjs";

const position = /((?:file|http):\/\/[^\s()]+?|\/[^\s():]+):(\d+):(\d+)/g;

/** @type {Map<string, SourceMap | undefined>} */
const maps = new Map();

/** The local file behind a frame: a bundle or the built library, whatever home names it. */
function localFile(place) {
  if (place.startsWith("file:")) return fileURLToPath(place);
  if (!place.startsWith("http:")) return place;
  const { pathname } = new URL(place);
  return join(pathname.startsWith("/dist/") ? join(root, "dist") : workFolder, basename(pathname));
}

function mapOf(file) {
  if (!maps.has(file)) {
    const path = `${file}.map`;
    maps.set(file, existsSync(path) ? new SourceMap(JSON.parse(readFileSync(path, "utf8"))) : undefined);
  }
  return maps.get(file);
}

/**
 * A stack trace with positions in the sources, relative to the checkout; frames of packages are left out.
 * @param {string} stack
 */
export function toSourcePositions(stack) {
  const lines = stack.split("\n").filter((line) => /^\s*at /.test(line));
  const mapped = lines.map((line) =>
    line.replace(position, (whole, place, row, column) => {
      const file = localFile(place);
      const entry = mapOf(file)?.findEntry(Number(row) - 1, Number(column) - 1);
      if (entry === undefined || !("originalSource" in entry)) return whole.replace(place, relative(root, file));
      const source = relative(root, resolve(dirname(file), entry.originalSource));
      return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
    }),
  );
  return mapped.filter((line) => !line.includes("node_modules/")).join("\n");
}
