// Loaded by the providers of Node and Deno only; both have these modules.
// biome-ignore-start lint/correctness/noNodejsModules: browsers never load this file
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
// biome-ignore-end lint/correctness/noNodejsModules: browsers never load this file
import type { TextStore } from "./store.ts";

/** What the place of the cache depends on. */
interface CacheHost {
  readonly platform: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

/** The operating system's folder for what may be deleted at any time; a relative XDG_CACHE_HOME counts for nothing, as its specification says. */
export function cacheFolder({ platform, environment, home }: CacheHost): string {
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = environment;
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, "pushforward");
  if (platform === "win32") return join(local || join(home, "AppData", "Local"), "pushforward", "Cache");
  if (platform === "darwin") return join(home, "Library", "Caches", "pushforward");
  return join(home, ".cache", "pushforward");
}

/** Texts as files of a folder, which is made when the first text is set. A file is whole or not there. */
export function folderStore(folder: string): TextStore {
  const pathOf = (key: string) => join(folder, `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.json`);
  return {
    get: (key) => readFile(pathOf(key), "utf8").catch(() => undefined),
    async set(key, value) {
      const path = pathOf(key);
      const part = `${path}.${randomUUID()}.part`;
      await mkdir(folder, { recursive: true });
      try {
        await writeFile(part, value);
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
  };
}

/** The folder store of this machine's user. */
export function userStore(host: Omit<CacheHost, "home">): TextStore {
  return folderStore(cacheFolder({ ...host, home: homedir() }));
}
