import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";

interface Host {
  platform: string;
  environment: Record<string, string | undefined>;
  probe: (env: Record<string, string>) => Promise<{ description: string; error: string }>;
  lavapipeDrivers: () => string[];
  whyNotFromNpm: () => string;
  unpackSwiftShader: () => { folder: string; icd: string };
  unpackLoader: () => string;
}
interface Adapter {
  env: Record<string, string>;
  picked: string;
  description: string;
}

// The scripts run before anything is built, so they are JavaScript; what the tests use of them is typed here.
const load = (name: string): Promise<unknown> => import(new URL(`../../scripts/${name}`, import.meta.url).href);
const { pickAdapter } = (await load("adapter.mjs")) as { pickAdapter: (host: Host) => Promise<Adapter> };
const { readTar, unpackTar, makeFolderOnce } = (await load("unpack.mjs")) as {
  readTar: (bytes: Uint8Array) => { name: string; mode: number; content: Uint8Array }[];
  unpackTar: (file: string, folder: string) => void;
  makeFolderOnce: (folder: string, fill: (draft: string) => void) => string;
};
const { matchesLock } = (await load("setup.mjs")) as { matchesLock: (lock: string, installed: string) => boolean };

const folder = mkdtempSync(join(tmpdir(), "pushforward-setup-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const llvmpipe25 = "llvmpipe: Mesa 25.0.7 (LLVM 15.0.6) 0.0.1";
const swiftshader = "SwiftShader driver 5.0.0";
const noLoader = "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file";

/** A Linux machine; `answers` has an adapter's description, or "" for none, by driver file ("" when none is named). */
function machine(answers: Record<string, string>, environment: Host["environment"] = {}): Host & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    platform: "linux",
    environment,
    probe: async (env) => {
      const driver = env.VK_ICD_FILENAMES ?? environment.VK_ICD_FILENAMES ?? "";
      asked.push(driver);
      const description = answers[driver] ?? "";
      return { description, error: description === "" ? "no adapter" : "" };
    },
    lavapipeDrivers: () => Object.keys(answers).filter((name) => name.startsWith("lvp_icd")),
    whyNotFromNpm: () => "",
    unpackSwiftShader: () => ({ folder: "swift", icd: "swift.json" }),
    unpackLoader: () => "loader",
  };
}

test("a GPU is taken in the environment as it is, and nothing else is asked", async () => {
  const host = machine({ "": "NVIDIA 570.86", "lvp_icd.json": llvmpipe25 });
  expect(await pickAdapter(host)).toEqual({ env: {}, picked: "gpu", description: "NVIDIA 570.86" });
  expect(host.asked).toEqual([""]);
});

test("without a GPU it is lavapipe, under both names of the loader's variable", async () => {
  const { env, picked } = await pickAdapter(machine({ "": swiftshader, "lvp_icd.json": llvmpipe25 }));
  expect(picked).toBe("lavapipe");
  expect(env).toEqual({ VK_ICD_FILENAMES: "lvp_icd.json", VK_DRIVER_FILES: "lvp_icd.json" });
});

test("a lavapipe older than Mesa 25 gives way to SwiftShader, whose libraries come before the user's own", async () => {
  const old = "llvmpipe: Mesa 24.2.8 (LLVM 19.1.0) 0.0.1";
  const host = machine(
    { "": old, "lvp_icd.json": old, "swift.json": swiftshader },
    { LD_LIBRARY_PATH: "own:swift:more" },
  );
  const { env, picked } = await pickAdapter(host);
  expect(picked).toBe("swiftshader");
  expect(env.LD_LIBRARY_PATH).toBe("swift:own:more");
});

test("a driver file that the environment names is kept, even SwiftShader's", async () => {
  const host = machine({ own: swiftshader, "lvp_icd.json": llvmpipe25 }, { VK_ICD_FILENAMES: "own" });
  expect(await pickAdapter(host)).toEqual({ env: {}, picked: "swiftshader", description: swiftshader });
});

test("PUSHFORWARD_ADAPTER forces an adapter, and says so when there is none", async () => {
  const answers = { "": "NVIDIA 570.86", "lvp_icd.json": llvmpipe25, "swift.json": swiftshader };
  for (const wish of ["gpu", "lavapipe", "swiftshader"]) {
    expect((await pickAdapter(machine(answers, { PUSHFORWARD_ADAPTER: wish }))).picked).toBe(wish);
  }
  const bare = (wish: string) => pickAdapter(machine({ "swift.json": swiftshader }, { PUSHFORWARD_ADAPTER: wish }));
  await expect(bare("lavapipe")).rejects.toThrow(/"lavapipe", but there is none.*install mesa-vulkan-drivers 25/s);
  await expect(bare("gpu")).rejects.toThrow(/"gpu", but there is none.*driver of the GPU/s);
  await expect(bare("voodoo")).rejects.toThrow('"voodoo", but it is one of auto, gpu, lavapipe, swiftshader');
});

test("a driver without a Vulkan loader gets the loader from npm", async () => {
  const host = machine({});
  host.probe = async (env) =>
    env.LD_LIBRARY_PATH === "loader"
      ? { description: "NVIDIA 570.86", error: "" }
      : { description: "", error: `no adapter; ${noLoader}` };
  expect(await pickAdapter(host)).toMatchObject({ env: { LD_LIBRARY_PATH: "loader" }, picked: "gpu" });
});

test("where nothing is to be had, the message gives each reason and what to install", async () => {
  const host = machine({});
  host.whyNotFromNpm = () => "@sparticuz/chromium is not installed: run npm ci";
  const message = await pickAdapter(host).catch((error: Error) => error.message);
  expect(message).toMatch(/^no WebGPU adapter:/);
  expect(message).toContain("lavapipe: it is not installed");
  expect(message).toContain("@sparticuz/chromium is not installed");
  expect(message).toContain("install mesa-vulkan-drivers 25 or newer");
});

test("outside of Linux the environment is left alone", async () => {
  const host = machine({ "": "Apple M2", "lvp_icd.json": llvmpipe25 });
  host.platform = "darwin";
  expect(await pickAdapter(host)).toMatchObject({ env: {}, picked: "gpu" });
  const bare = machine({ "lvp_icd.json": llvmpipe25 });
  bare.platform = "win32";
  await expect(pickAdapter(bare)).rejects.toThrow("install the driver of the GPU");
  expect(bare.asked).toEqual([""]);
});

interface Entry {
  name: string;
  type?: string;
  mode?: string;
  magic?: string;
  prefix?: string;
  content?: string;
}

/** A tar archive by the fields of POSIX.1-2017, "ustar Interchange Format". */
function tar(entries: readonly Entry[]): Buffer {
  const blocks = entries.map(
    ({ name, type = "0", mode = "0000644", magic = "ustar\x0000", prefix = "", content = "" }) => {
      const body = Buffer.from(content);
      const header = Buffer.alloc(512);
      header.write(name, 0);
      header.write(mode, 100);
      header.write(body.length.toString(8).padStart(11, "0"), 124);
      header.write(" ".repeat(8), 148);
      header.write(type, 156);
      header.write(magic, 257, "latin1");
      header.write(prefix, 345);
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
      return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
    },
  );
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

test("tar archives are read: empty files, files of a whole block, long names, folders left out", () => {
  const archive = tar([
    { name: "folder/", type: "5" },
    { name: "empty" },
    { name: "block", content: "b".repeat(512), mode: "0000755" },
    { name: "über", content: "abc", prefix: "a/long" },
    // GNU archives hold a date where POSIX ones hold the prefix.
    { name: "gnu", content: "x".repeat(513), magic: "ustar  ", prefix: "14735260000" },
  ]);
  const files = readTar(archive);
  expect(files.map(({ name, mode, content }) => [name, mode, content.length])).toEqual([
    ["empty", 0o644, 0],
    ["block", 0o755, 512],
    ["a/long/über", 0o644, 3],
    ["gnu", 0o644, 513],
  ]);
  expect(Buffer.from(files[2]?.content ?? []).toString()).toBe("abc");
});

test("damaged archives are told: cut off, without an end mark, with a flipped byte, with links", () => {
  const archive = tar([{ name: "file", content: "abc" }]);
  expect(() => readTar(archive.subarray(0, 514))).toThrow('ends at 514 bytes, but "file" reaches to 515');
  expect(() => readTar(archive.subarray(0, 512))).toThrow('ends at 512 bytes, but "file" reaches to 515');
  expect(() => readTar(archive.subarray(0, 1024))).toThrow("no end mark");
  const flipped = Buffer.from(archive);
  flipped[1] = (flipped[1] ?? 0) ^ 1;
  expect(() => readTar(flipped)).toThrow("damaged");
  expect(() => readTar(tar([{ name: "link", type: "2" }]))).toThrow('"link" is of type "2"');
});

test("an archive is unpacked with its folders and modes, and cannot write outside of its folder", () => {
  const file = join(folder, "archive.tar.br");
  const target = join(folder, "unpacked");
  mkdirSync(target);
  writeFileSync(file, brotliCompressSync(tar([{ name: "a/b/tool", content: "run", mode: "0000755" }])));
  unpackTar(file, target);
  expect(readFileSync(join(target, "a/b/tool"), "utf8")).toBe("run");
  // Windows knows no execution bit.
  if (process.platform !== "win32") expect(statSync(join(target, "a/b/tool")).mode & 0o777).toBe(0o755);
  writeFileSync(file, brotliCompressSync(tar([{ name: "../escaped", content: "x" }])));
  expect(() => unpackTar(file, target)).toThrow("outside of the folder");
  expect(existsSync(join(folder, "escaped"))).toBe(false);
  writeFileSync(file, "not brotli");
  expect(() => unpackTar(file, target)).toThrow("cannot be unpacked");
});

test("a folder is made whole or not at all, once, also when another process makes it meanwhile", () => {
  const place = join(folder, "once");
  mkdirSync(place);
  const target = join(place, "made");
  const fail = () =>
    makeFolderOnce(target, (draft) => {
      writeFileSync(join(draft, "half"), "");
      throw new Error("the disk is full");
    });
  expect(fail).toThrow("the disk is full");
  expect(readdirSync(place)).toEqual([]);
  makeFolderOnce(target, (mine) => {
    writeFileSync(join(mine, "whole"), "mine");
    makeFolderOnce(target, (other) => writeFileSync(join(other, "whole"), "other"));
  });
  makeFolderOnce(target, () => expect.unreachable("the folder is there"));
  expect(readdirSync(place)).toEqual(["made"]);
  expect(readFileSync(join(target, "whole"), "utf8")).toBe("other");
});

test("packages are installed anew when one is missing, changed or left over; those of other platforms may be missing", () => {
  const matches = (installed?: Record<string, object>) => {
    const lock = join(folder, "package-lock.json");
    const hidden = join(folder, ".package-lock.json");
    const packages = {
      "": { name: "pushforward" },
      "node_modules/a": { version: "1.2.3", integrity: "sha512-a" },
      "node_modules/mac": { version: "1.0.0", integrity: "sha512-m", optional: true },
    };
    writeFileSync(lock, JSON.stringify({ packages }));
    rmSync(hidden, { force: true });
    if (installed) writeFileSync(hidden, JSON.stringify({ packages: installed }));
    return matchesLock(lock, hidden);
  };
  const a = { version: "1.2.3", integrity: "sha512-a" };
  expect(matches({ "node_modules/a": a })).toBe(true);
  expect(matches()).toBe(false);
  expect(matches({})).toBe(false);
  expect(matches({ "node_modules/a": { ...a, version: "1.2.4" } })).toBe(false);
  expect(matches({ "node_modules/a": { ...a, integrity: "sha512-b" } })).toBe(false);
  expect(matches({ "node_modules/a": a, "node_modules/b": a })).toBe(false);
});
