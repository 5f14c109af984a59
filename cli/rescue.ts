import { type FileHandle, open, unlink } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { extname, join } from "node:path";
import { faultOf } from "./file-errors.ts";

/** Names for an output that is not complete, the first one wanted most: "out.csv.partial", "out.csv.2.partial", …. */
export function partialNames(name: string): string[] {
  const start = within(name, 200);
  return numbered((number) => `${start}${number}.partial`);
}

/** Names for an output that is complete, but not where it belongs: "flow.rescued.safetensors", …. */
export function rescuedNames(name: string): string[] {
  const ending = extname(name).length <= 20 ? extname(name) : "";
  const start = within(name.slice(0, name.length - ending.length), 180);
  return numbered((number) => `${start}.rescued${number}${ending}`);
}

function numbered(make: (number: string) => string): string[] {
  return Array.from({ length: 100 }, (_, i) => make(i === 0 ? "" : `.${i + 1}`));
}

/** The longest start of a name that fits into so many bytes of UTF-8. */
function within(name: string, bytes: number): string {
  let start = "";
  for (const letter of name) {
    if (Buffer.byteLength(start + letter) > bytes) break;
    start += letter;
  }
  return start;
}

/** Where something can be put that cannot be where it belongs. */
export function rescueFolders(): string[] {
  const folders: string[] = [];
  for (const find of [() => process.cwd(), tmpdir, homedir]) {
    try {
      folders.push(find());
    } catch {
      // A working folder that was removed.
    }
  }
  return folders;
}

/** Writes a file of a name that is free into the first folder that takes it; undefined where none does. */
export async function putAside(
  folders: readonly string[],
  names: readonly string[],
  write: (handle: FileHandle) => Promise<void>,
): Promise<string | undefined> {
  for (const folder of folders) {
    for (const name of names) {
      const path = join(folder, name);
      let handle: FileHandle;
      try {
        handle = await open(path, "wx", 0o600);
      } catch (error) {
        if (faultOf(error) === "EEXIST") continue;
        break;
      }
      try {
        await write(handle);
        await handle.sync();
        return path;
      } catch {
        await unlink(path).catch(() => {});
        break;
      } finally {
        await handle.close().catch(() => {});
      }
    }
  }
  return undefined;
}
