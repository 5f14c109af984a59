import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, expect, test } from "vitest";
import { cacheFolder, folderStore } from "../../src/gpu/cache-folder.ts";

const folders: string[] = [];
async function emptyFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pushforward-"));
  folders.push(folder);
  return folder;
}
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

test("the cache lies where the operating system wants caches", () => {
  const home = resolve("someone");
  const elsewhere = resolve("elsewhere");
  expect(cacheFolder({ platform: "linux", environment: {}, home })).toBe(join(home, ".cache", "pushforward"));
  expect(cacheFolder({ platform: "linux", environment: { XDG_CACHE_HOME: elsewhere }, home })).toBe(
    join(elsewhere, "pushforward"),
  );
  expect(cacheFolder({ platform: "linux", environment: { XDG_CACHE_HOME: "relative" }, home })).toBe(
    join(home, ".cache", "pushforward"),
  );
  expect(cacheFolder({ platform: "darwin", environment: {}, home })).toBe(
    join(home, "Library", "Caches", "pushforward"),
  );
  expect(cacheFolder({ platform: "win32", environment: { LOCALAPPDATA: elsewhere }, home })).toBe(
    join(elsewhere, "pushforward", "Cache"),
  );
});

test("texts come back whole, by key, from a folder that need not be there", async () => {
  const folder = join(await emptyFolder(), "not", "there");
  const store = folderStore(folder);
  expect(await store.get("one")).toBeUndefined();
  await store.set("one", "first");
  await store.set("two / with : odd * characters", "second");
  await store.set("one", "third");
  expect(await store.get("one")).toBe("third");
  expect(await store.get("two / with : odd * characters")).toBe("second");
  expect(await folderStore(folder).get("one")).toBe("third");
  expect((await readdir(folder)).length).toBe(2);
});

test("many writers at once leave one whole text and no parts", async () => {
  const folder = await emptyFolder();
  const texts = Array.from({ length: 17 }, (_, i) => String(i).repeat(1001));
  await Promise.all(texts.map((text) => folderStore(folder).set("key", text)));
  expect(texts).toContain(await folderStore(folder).get("key"));
  expect((await readdir(folder)).filter((name) => name.endsWith(".part"))).toEqual([]);
});

test("a folder that cannot be written to is an error of set, and nothing is there", async () => {
  const file = join(await emptyFolder(), "file");
  await writeFile(file, "in the way");
  const store = folderStore(join(file, "below"));
  await expect(store.set("key", "text")).rejects.toThrow();
  expect(await store.get("key")).toBeUndefined();
  expect(await readFile(file, "utf8")).toBe("in the way");
});
