// Unpacks SwiftShader and Chromium from the npm package @sparticuz/chromium into .cache, with Node's built-ins only:
// the package's own code unpacks into the system's temporary folder, and is made for one process at a time.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const root = fileURLToPath(new URL("../", import.meta.url));
const chromiumPackage = join(root, "node_modules", "@sparticuz", "chromium");
const block = 512;

/** Why SwiftShader and Chromium cannot be had from npm on this machine; "" where they can. */
export function whyNotFromNpm() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `@sparticuz/chromium is built for linux x64, this machine is ${process.platform} ${process.arch}`;
  }
  return existsSync(join(chromiumPackage, "bin")) ? "" : "@sparticuz/chromium is not installed: run npm ci";
}

/**
 * Unpacks SwiftShader, unless that has been done.
 * @returns {{ folder: string, icd: string }} the folder of the libraries, and the file that names the driver to Vulkan
 */
export function unpackSwiftShader() {
  const folder = makeFolderOnce(cacheFolder("swiftshader"), (draft) => {
    unpackTar(archive("swiftshader.tar.br"), draft);
  });
  return { folder, icd: join(folder, "vk_swiftshader_icd.json") };
}

/**
 * Unpacks the Vulkan loader alone, for machines that have a driver and no loader: SwiftShader's folder also holds an EGL.
 * @returns {string} the folder of libvulkan.so.1
 */
export function unpackLoader() {
  return makeFolderOnce(cacheFolder("vulkan-loader"), (draft) => {
    copyFileSync(join(unpackSwiftShader().folder, "libvulkan.so.1"), join(draft, "libvulkan.so.1"));
  });
}

/**
 * Unpacks Chromium, unless that has been done: about two seconds.
 * @returns {{ path: string, libraries: string, fontConfiguration: string }} the executable, the folder of libraries that
 *   it needs and a small system lacks, and a file that leads fontconfig to the fonts unpacked with it
 */
export function unpackChromium() {
  const final = cacheFolder("chromium");
  const folder = makeFolderOnce(final, (draft) => {
    unpackFile(archive("chromium.br"), join(draft, "chromium"), 0o755);
    // Chromium looks for its graphics libraries beside its executable.
    unpackTar(archive("swiftshader.tar.br"), draft);
    unpackTar(archive("al2023.tar.br"), draft);
    unpackTar(archive("fonts.tar.br"), draft);
    // The archive's own configuration names folders of a cloud service.
    writeFileSync(join(draft, "fonts.conf"), fontConfiguration(final));
  });
  return {
    path: join(folder, "chromium"),
    libraries: join(folder, "lib"),
    fontConfiguration: join(folder, "fonts.conf"),
  };
}

function fontConfiguration(folder) {
  const path = folder.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${path}/fonts</dir>
  <cachedir>${path}/font-cache</cachedir>
</fontconfig>
`;
}

function cacheFolder(name) {
  const { version } = JSON.parse(readFileSync(join(chromiumPackage, "package.json"), "utf8"));
  return join(root, ".cache", `${name}-${version}`);
}

function archive(name) {
  return join(chromiumPackage, "bin", name);
}

/**
 * Reads the regular files of a tar archive (POSIX ustar or GNU, names of up to 255 characters).
 * Throws on a damaged header, on an archive that is cut off, and on entries that are neither files nor folders.
 * @param {Uint8Array} bytes the archive
 * @returns {{ name: string, mode: number, content: Buffer }[]}
 * @example readTar(brotliDecompressSync(readFileSync("libraries.tar.br"))).map((file) => file.name)
 */
export function readTar(bytes) {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = [];
  for (let offset = 0; ; ) {
    if (offset + block > archive.length) throw new Error(`the tar archive of ${archive.length} bytes has no end mark`);
    const header = archive.subarray(offset, offset + block);
    if (header.every((byte) => byte === 0)) return files;
    const name = entryName(header);
    checkSum(header, name);
    const size = octal(header, 124, 12, name);
    offset += block;
    if (offset + size > archive.length) {
      throw new Error(`the tar archive ends at ${archive.length} bytes, but "${name}" reaches to ${offset + size}`);
    }
    const type = text(header, 156, 1);
    if (type === "" || type === "0") {
      const content = archive.subarray(offset, offset + size);
      files.push({ name, mode: octal(header, 100, 8, name), content });
    } else if (type !== "5") {
      throw new Error(`the tar entry "${name}" is of type "${type}", but only files and folders are read`);
    }
    offset += Math.ceil(size / block) * block;
  }
}

function entryName(header) {
  // GNU archives write dates where POSIX ones keep the name's front part.
  const isPosix = header.toString("latin1", 257, 263) === "ustar\0";
  const front = isPosix ? text(header, 345, 155) : "";
  const name = text(header, 0, 100);
  return front === "" ? name : `${front}/${name}`;
}

function text(header, start, length) {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

function octal(header, start, length, name) {
  const digits = text(header, start, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new Error(`the tar header of "${name}" has "${digits}" where a number should be`);
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function checkSum(header, name) {
  let sum = 0;
  // The sum is taken with spaces in its own place.
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i];
  if (sum !== octal(header, 148, 8, name)) throw new Error(`the tar header of "${name}" is damaged: its sum is ${sum}`);
}

/**
 * Unpacks a brotli-compressed tar archive into a folder. Throws on a name that leads out of the folder.
 * @param {string} file path of the .tar.br
 * @param {string} folder an existing folder
 */
export function unpackTar(file, folder) {
  for (const { name, mode, content } of readTar(decompress(file))) {
    const path = resolve(folder, name);
    if (!path.startsWith(resolve(folder) + sep)) {
      throw new Error(`${basename(file)} holds "${name}", which lies outside of the folder it is unpacked to`);
    }
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    chmodSync(path, mode & 0o777);
  }
}

/**
 * Unpacks one brotli-compressed file.
 * @param {string} file path of the .br
 * @param {string} target path of the result
 * @param {number} mode permissions of the result
 */
function unpackFile(file, target, mode) {
  writeFileSync(target, decompress(file), { mode });
  chmodSync(target, mode);
}

function decompress(file) {
  try {
    return brotliDecompressSync(readFileSync(file));
  } catch (error) {
    throw new Error(`${file} cannot be unpacked (${error.message}): delete node_modules and run npm ci`, {
      cause: error,
    });
  }
}

/**
 * Makes a folder in one go: it is there with all its files or not at all, also when several processes make it at once.
 * @param {string} folder path of the folder
 * @param {(folder: string) => void} fill writes the files into the empty folder it is given
 * @returns {string} the folder
 */
export function makeFolderOnce(folder, fill) {
  if (existsSync(folder)) return folder;
  mkdirSync(dirname(folder), { recursive: true });
  const draft = mkdtempSync(`${folder}.`);
  try {
    fill(draft);
    chmodSync(draft, 0o755);
    renameSync(draft, folder);
  } catch (error) {
    // Another process was first: its folder has the same files.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}
