import { randomUUID } from "node:crypto";
import { unlinkSync } from "node:fs";
import { type FileHandle, link, lstat, open, realpath, rename, stat, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Interrupted } from "./context.ts";
import { FileError, faultOf, fileError, onFile, shown } from "./file-errors.ts";
import { partialNames, putAside, rescuedNames, rescueFolders } from "./rescue.ts";
import { findTarget, type Target } from "./targets.ts";

/** Where an output's bytes go. */
export interface Sink {
  write(bytes: Uint8Array | string): Promise<void>;
  /** All is written: a file gets its name. */
  finish(): Promise<void>;
  /** Nothing is left behind. */
  discard(): Promise<void>;
  /** Leaves all whole writes and says where they are; undefined where they are with whoever read them. */
  keep(): Promise<string | undefined>;
}

/** Temporary files of this process; what is left of them goes when it ends, however it ends. */
const temporaries = new Set<string>();

function removeTemporaries(): void {
  for (const path of temporaries) {
    try {
      unlinkSync(path);
    } catch {
      // It went with its folder, or has its name by now.
    }
  }
}

/**
 * A file that is written piece by piece beside its final place, as `.name.….partial`: `finish` gives it its name, `discard`
 * removes it, `keep` leaves what was written under `name.partial`. What stands at the place is replaced by `finish` alone, and
 * only where it is a file; its permissions stay. Nothing else is ever replaced.
 */
export class GrowingFile implements Sink {
  readonly #target: Target;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  /** Bytes of all writes that came to their end. */
  #whole = 0;
  #isOpen = true;

  private constructor(target: Target, temporary: string, handle: FileHandle) {
    this.#target = target;
    this.#temporary = temporary;
    this.#handle = handle;
    if (temporaries.size === 0) process.off("exit", removeTemporaries).on("exit", removeTemporaries);
    temporaries.add(temporary);
  }

  static async create(path: string | Target): Promise<GrowingFile> {
    const target = typeof path === "string" ? await findTarget(path) : path;
    return onFile(target.path, async () => {
      const existing = await stat(target.place).catch(() => undefined);
      const mode = existing?.isFile() ? existing.mode & 0o777 : 0o666;
      let temporary = temporaryName(dirname(target.place), target.place);
      let handle: FileHandle;
      try {
        handle = await open(temporary, "wx+", mode);
      } catch (error) {
        // A file may be writable in a folder that is not, as one that is mounted into a container.
        if (!existing?.isFile() || !["EACCES", "EPERM", "EROFS"].includes(faultOf(error) ?? "")) throw error;
        temporary = temporaryName(tmpdir(), target.place);
        handle = await open(temporary, "wx+", mode);
      }
      const file = new GrowingFile(target, temporary, handle);
      // The mask of new files does not hold for one that is there, and its owner is kept where we may.
      if (existing?.isFile()) {
        await handle.chown(existing.uid, existing.gid).catch(() => {});
        await handle.chmod(mode).catch(() => {});
      }
      return file;
    });
  }

  async write(bytes: Uint8Array | string): Promise<void> {
    const buffer = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
    await onFile(this.#target.path, () => writeAll(this.#handle, buffer, this.#whole));
    this.#whole += buffer.length;
  }

  async finish(): Promise<void> {
    await onFile(this.#target.path, async () => {
      await flush(this.#handle);
      const existing = await lstat(this.#target.place).catch(() => undefined);
      if (existing && !existing.isFile()) {
        const what = existing.isDirectory() ? "a folder" : existing.isSymbolicLink() ? "a link" : "no file";
        throw new FileError(
          "EEXIST",
          `${shown(this.#target.path)} has become ${what} meanwhile, which is not replaced`,
        );
      }
      try {
        await rename(this.#temporary, this.#target.place);
      } catch (error) {
        // A mounted file cannot be replaced, and a name in another folder not by a rename; their content can.
        if (!existing || !["EXDEV", "EBUSY", "EACCES", "EPERM", "EROFS"].includes(faultOf(error) ?? "")) throw error;
        await copyInto(this.#handle, this.#whole, this.#target.place, "r+");
      }
    });
    await this.#close();
  }

  async keep(): Promise<string | undefined> {
    try {
      await this.#handle.truncate(this.#whole);
      await flush(this.#handle);
      const { path, place } = this.#target;
      for (const name of partialNames(basename(place))) {
        try {
          await giveName(this.#temporary, join(dirname(place), name));
        } catch (error) {
          if (["EEXIST", "ENAMETOOLONG"].includes(faultOf(error) ?? "")) continue;
          throw error;
        }
        // Told as the user wrote it, unless that is a link to another folder.
        const isBeside = (await realpath(dirname(path))) === dirname(place);
        return join(dirname(isBeside ? path : place), name);
      }
    } catch {
      // The folder is gone or takes no new name, but the bytes are there while the file is open.
      return await putAside(rescueFolders(), partialNames(basename(this.#target.place)), (handle) =>
        copy(this.#handle, this.#whole, handle),
      );
    } finally {
      await this.#close();
    }
    return undefined;
  }

  async discard(): Promise<void> {
    await this.#close();
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close().catch(() => {});
    // Nothing is there any more when the file has got its name.
    await unlink(this.#temporary).catch(() => {});
    temporaries.delete(this.#temporary);
  }
}

/** A name of its own, so that two programs writing to one place do not mix their bytes; short, however long the file's is. */
function temporaryName(folder: string, place: string): string {
  const start = Array.from(basename(place)).slice(0, 40).join("");
  return join(folder, `.${start}.${randomUUID().slice(0, 8)}.partial`);
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** To the disk; file systems that cannot tell when that is done say EINVAL or ENOTSUP. */
async function flush(handle: FileHandle): Promise<void> {
  await handle.sync().catch((error) => {
    if (!["EINVAL", "ENOTSUP", "ENOSYS", "EOPNOTSUPP"].includes(faultOf(error) ?? "")) throw error;
  });
}

/** Gives a file another name that must be free. */
async function giveName(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EXDEV"].includes(faultOf(error) ?? "")) throw error;
    // A file system without hard links.
    if (await lstat(to).catch(() => undefined)) throw Object.assign(new Error(), { code: "EEXIST" });
    await rename(from, to);
    return;
  }
  await unlink(from);
}

async function copyInto(from: FileHandle, length: number, place: string, flags: string): Promise<void> {
  const to = await open(place, flags);
  try {
    await copy(from, length, to);
    await to.truncate(length);
    await flush(to);
  } finally {
    await to.close();
  }
}

async function copy(from: FileHandle, length: number, to: FileHandle): Promise<void> {
  const piece = Buffer.alloc(1 << 20);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await from.read(piece, 0, Math.min(piece.length, length - done), done);
    if (bytesRead === 0) throw Object.assign(new Error(), { code: "EIO" });
    await writeAll(to, piece.subarray(0, bytesRead), done);
    done += bytesRead;
  }
}

/**
 * Writes a file whole or not at all: into a neighbour with another name first, which is then renamed. Where that fails at the
 * end, as on a full disk, the bytes are put elsewhere unless `rescue` is false, and the error says where.
 */
export async function writeWhole(
  path: string | Target,
  bytes: Uint8Array | string,
  { rescue = true }: { rescue?: boolean } = {},
): Promise<void> {
  let file: GrowingFile | undefined;
  try {
    file = await GrowingFile.create(path);
    await file.write(bytes);
    await file.finish();
  } catch (error) {
    await file?.discard();
    throw rescue ? await rescued(error, path, bytes) : error;
  }
}

/** The error that also says where the bytes are that could not be written where they belong. */
export async function rescued(error: unknown, path: string | Target, bytes: Uint8Array | string): Promise<unknown> {
  const target = typeof path === "string" ? { path, place: path, kind: "file" } : path;
  const told = fileError(error, target.path);
  if (!(told instanceof FileError || told instanceof Interrupted)) return told;
  const buffer = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
  const isFile = target.kind === "file";
  const folders = [...(isFile ? [dirname(target.place)] : []), ...rescueFolders()];
  const found = await putAside(folders, rescuedNames(isFile ? basename(target.place) : "output"), (handle) =>
    writeAll(handle, buffer, 0),
  );
  const rest = found ? `what should be there is in ${found}` : "nor could it be put elsewhere";
  const message = `${told.message}; ${rest}`;
  return told instanceof FileError
    ? new FileError(told.code, message, { cause: error })
    : new Interrupted(message, { cause: error });
}
