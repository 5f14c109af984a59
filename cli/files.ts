import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Writes a file whole or not at all: into a neighbour with another name first, which is then renamed. */
export async function writeWhole(path: string, bytes: Uint8Array | string): Promise<void> {
  const file = await GrowingFile.create(path);
  try {
    await file.write(bytes);
    await file.finish();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/**
 * A file that is written piece by piece beside its final place, as `.name.….partial`: `finish` gives it its name, `discard`
 * removes it, `keepPartial` leaves what was written under `name.partial`.
 */
export class GrowingFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  #open = true;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  static async create(path: string): Promise<GrowingFile> {
    // A name of its own, so that two programs writing to one place do not mix their bytes.
    const temporary = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.partial`);
    try {
      return new GrowingFile(path, temporary, await open(temporary, "wx"));
    } catch (error) {
      // What went wrong concerns the file that was asked for, not our name for it.
      throw Object.assign(error as NodeJS.ErrnoException, { path });
    }
  }

  async write(bytes: Uint8Array | string): Promise<void> {
    const buffer = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
    for (let done = 0; done < buffer.length; ) {
      done += (await this.#handle.write(buffer, done, buffer.length - done)).bytesWritten;
    }
  }

  async finish(): Promise<void> {
    await this.#close();
    await rename(this.#temporary, this.#path);
  }

  /** Where the bytes so far were left. */
  async keepPartial(): Promise<string> {
    await this.#close();
    await rename(this.#temporary, `${this.#path}.partial`);
    return `${this.#path}.partial`;
  }

  async discard(): Promise<void> {
    await this.#close();
    await unlink(this.#temporary).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.sync();
    await this.#handle.close();
  }
}
