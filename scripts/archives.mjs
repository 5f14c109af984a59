// Unpacks the brotli archives that @sparticuz/chromium ships, with built-ins only.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import process from "node:process";
import { brotliDecompressSync } from "node:zlib";

const blockBytes = 512;

/** Entries of a ustar archive. Only files are returned; folders follow from their paths. */
export function* tarFiles(archive) {
  const text = (start, length) => archive.subarray(start, start + length).toString("utf8").replace(/\0.*$/s, "");
  for (let at = 0; at + blockBytes <= archive.length; ) {
    const name = text(at, 100);
    if (name === "") return;
    const prefix = text(at + 257, 5) === "ustar" ? text(at + 345, 155) : "";
    const bytes = Number.parseInt(text(at + 124, 12).trim() || "0", 8);
    const type = text(at + 156, 1);
    if (!Number.isSafeInteger(bytes) || at + blockBytes + bytes > archive.length) throw new Error(`the archive ends inside ${name}`);
    if (type === "0" || type === "") {
      yield { name: prefix ? `${prefix}/${name}` : name, data: archive.subarray(at + blockBytes, at + blockBytes + bytes) };
    }
    at += blockBytes * (1 + Math.ceil(bytes / blockBytes));
  }
}

/** Makes a folder by `fill(temporaryFolder)` and one rename, so that it is whole or not there. Two processes at once are fine. */
export function makeFolder(folder, fill) {
  if (existsSync(folder)) return;
  const temporary = `${folder}.${process.pid}.part`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  try {
    fill(temporary);
    renameSync(temporary, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Unpacks a `.tar.br` archive into a folder; names that would leave it are refused. */
export function unpackTar(archivePath, folder) {
  for (const { name, data } of tarFiles(brotliDecompressSync(readFileSync(archivePath)))) {
    const target = resolve(folder, name);
    if (!target.startsWith(resolve(folder) + sep)) throw new Error(`${archivePath} holds a file outside of its folder: ${name}`);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, data, { mode: 0o755 });
  }
}

/** Unpacks a single `.br` file as an executable. */
export function unpackFile(archivePath, folder, name) {
  writeFileSync(join(folder, name), brotliDecompressSync(readFileSync(archivePath)), { mode: 0o755 });
}
