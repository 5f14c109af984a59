import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { chmod, link, lstat, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join, relative } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { expect, test } from "vitest";
import { Interrupted } from "../../cli/context.ts";
import { rowFormatOf } from "../../cli/endings.ts";
import { FileError } from "../../cli/file-errors.ts";
import { GrowingFile, writeWhole } from "../../cli/files.ts";
import { checkRoom } from "../../cli/outputs.ts";
import { openRows } from "../../cli/row-output.ts";
import { findTarget } from "../../cli/targets.ts";
import { PushforwardError } from "../../src/errors.ts";
import { captured, inFolder, run } from "./command-line.ts";

const isRoot = process.getuid?.() === 0;
const hasDevices = isRoot && process.platform === "linux";
const isUnix = process.platform !== "win32";
if (!hasDevices) console.warn("tests of devices are left out: only root on Linux may make them");

const rowsOf = (...values: number[]) => [{ data: Float32Array.from(values), width: 2 }];

/** The command lines that write, each with an output and with what it reads. */
const writers: [string, (output: string, input: string) => string[]][] = [
  ["train", (output, input) => ["train", input, "-o", output]],
  ["train --checkpoint", (output, input) => ["train", input, "-o", `${input}.flow`, "--checkpoint", output]],
  ["train --resume", (output, input) => ["train", input, "-o", `${input}.flow`, "--checkpoint", output, "--resume"]],
  ["sample", (output, input) => ["sample", input, "-n", "3", "-o", output]],
  ["log-prob, data", (output, input) => ["log-prob", `${input}.flow`, input, "-o", output]],
  ["log-prob, flow", (output, input) => ["log-prob", input, `${input}.data`, "-o", output]],
  ["plot", (output, input) => ["plot", `${input}.other`, input, "-o", output]],
];

test.each(writers)("%s refuses an output that is its input, however it is spelled", (_, words) =>
  inFolder(async (folder) => {
    const input = join(folder, "data");
    await writeFile(input, "x,y\n1,2\n3,4\n");
    await mkdir(join(folder, "sub"));
    await symlink(folder, join(folder, "same"));
    await symlink("data", join(folder, "soft"));
    await symlink(join("same", "soft"), join(folder, "softer"));
    await link(input, join(folder, "hard"));
    const spellings = [
      input,
      `${folder}/./data`,
      `${folder}//data`,
      `${folder}/sub/../data`,
      relative(process.cwd(), input),
      join(folder, "same", "data"),
      join(folder, "soft"),
      join(folder, "softer"),
      join(folder, "hard"),
    ];
    for (const output of spellings) {
      const { code, err } = await run(words(output, input));
      expect({ output, code }).toEqual({ output, code: 2 });
      expect(err).toMatch(/would replace the (data|flow)/);
    }
    expect(await readFile(input, "utf8")).toBe("x,y\n1,2\n3,4\n");
    expect((await readdir(folder)).sort()).toEqual(["data", "hard", "same", "soft", "softer", "sub"]);
  }),
);

test("two outputs that are one file are refused, also before either is there", () =>
  inFolder(async (folder) => {
    const output = join(folder, "flow");
    for (const checkpoint of [output, `${folder}/./flow`, join(folder, "FLOW")]) {
      const { code, err } = await run(["train", "-", "-o", output, "--checkpoint", checkpoint], "x,y\n1,2\n");
      expect(code).toBe(2);
      expect(err).toContain("a file of its own");
    }
  }));

test.each(writers)("%s checks its output before it reads anything", (_, words) =>
  inFolder(async (folder) => {
    const file = join(folder, "file");
    await writeFile(file, "");
    await symlink("round", join(folder, "round"));
    const input = join(folder, "not-there");
    for (const [output, message] of [
      [join(folder, "new-folder", "out"), "no such folder"],
      [join(file, "out"), "folders lead to a file"],
      [folder, "is a folder"],
      [`${folder}/out/`, "names a folder"],
      [join(folder, "x".repeat(300)), "longer name than the file system takes"],
      [join(folder, "round"), "leads back to itself"],
      ["", "is the name of a file"],
      [join(folder, "a\0b"), "code 0"],
    ] as const) {
      const { code, err } = await run(words(output, input));
      expect(code).toBeGreaterThan(0);
      expect(err).toContain(message);
      expect(err).not.toMatch(/\bE[A-Z]{4,}\b|not-there(?!\.flow)/);
    }
    expect((await readdir(folder)).sort()).toEqual(["file", "round"]);
  }),
);

test.skipIf(isRoot || !isUnix)("an output in a folder or a file that may not be written is refused at once", () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, "kept"), "old", { mode: 0o444 });
    await mkdir(join(folder, "closed"), { mode: 0o555 });
    for (const output of [join(folder, "kept"), join(folder, "closed", "new")])
      expect((await run(["plot", join(folder, "not-there"), "-o", output])).err).toContain("not allowed to use");
    expect(await readFile(join(folder, "kept"), "utf8")).toBe("old");
  }),
);

test.skipIf(!existsSync("/proc/sys"))("a file system that takes no files is told before any work", async () => {
  for (const output of ["/proc/x.csv", "/sys/x.csv"]) {
    const { code, err } = await run(["plot", "not-there", "-o", output]);
    expect(code).toBe(1);
    expect(err).toMatch(/^error: (not allowed to use|no such|\S+ is on a file system that can only be read)/);
  }
});

test("a link stays a link, and what it leads to is replaced whole", () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, "elsewhere"));
    await writeFile(join(folder, "elsewhere", "target"), "old and long");
    await symlink(join("elsewhere", "target"), join(folder, "link"));
    await symlink(join("elsewhere", "new"), join(folder, "dangling"));
    for (const [name, place] of [
      ["link", "target"],
      ["dangling", "new"],
    ] as const) {
      await writeWhole(join(folder, name), "new");
      expect((await lstat(join(folder, name))).isSymbolicLink()).toBe(true);
      expect(await readFile(join(folder, "elsewhere", place), "utf8")).toBe("new");
    }
    expect((await readdir(join(folder, "elsewhere"))).sort()).toEqual(["new", "target"]);
  }));

test.skipIf(!isUnix)("a file that is written anew keeps its permissions", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out");
    for (const mode of [0o600, 0o664, 0o755]) {
      await writeFile(path, "old");
      await chmod(path, mode);
      await writeWhole(path, "new");
      expect((await stat(path)).mode & 0o777).toBe(mode);
    }
  }),
);

test.skipIf(!isUnix)("a named pipe is written into and stays a pipe", () =>
  inFolder(async (folder) => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const { context, text } = captured();
    const opened = openRows(context, pipe, ["a", "b"]);
    const read = textOf(createReadStream(pipe));
    const rows = await opened;
    await rows.write(rowsOf(1, 2, 3, 4));
    await rows.finish();
    expect(await read).toBe("a,b\n1,2\n3,4\n");
    expect((await lstat(pipe)).isFIFO()).toBe(true);
    expect(text.err === "" || text.err.includes("waiting for a program that reads it")).toBe(true);
    expect(await readdir(folder)).toEqual(["pipe"]);
  }),
);

test.skipIf(!isUnix)("Ctrl-C ends the wait for a pipe that nobody reads", () =>
  inFolder(async (folder) => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const controller = new AbortController();
    const { context } = captured("a,b\n1,2\n", controller.signal);
    context.stderr.on("data", () => controller.abort(new Interrupted("stopped")));
    await expect(openRows(context, pipe, ["a"])).rejects.toThrow("stopped");
  }),
);

test.skipIf(!isUnix)("a pipe whose reader leaves is told with the rows that went", () =>
  inFolder(async (folder) => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const { context } = captured();
    const opened = openRows(context, pipe, ["a", "b"]);
    const reader = spawn("head", ["-n", "2", pipe], { stdio: "ignore" });
    const rows = await opened;
    await rows.write(rowsOf(1, 2));
    await once(reader, "close");
    const error = await rows.write(rowsOf(3, 4)).catch((fault: unknown) => fault);
    expect(String(await rows.abandon(error))).toContain(`whoever read ${pipe} has closed it; after 1 rows`);
  }),
);

test.skipIf(!hasDevices)("devices are written into, disks and sockets are refused, and all stay what they are", () =>
  inFolder(async (folder) => {
    const at = (name: string) => join(folder, name);
    execFileSync("mknod", ["-m", "666", at("null"), "c", "1", "3"]);
    execFileSync("mknod", ["-m", "666", at("full"), "c", "1", "7"]);
    execFileSync("mknod", ["-m", "666", at("disk"), "b", "7", "200"]);
    const server = createServer().listen(at("socket"));
    const plot = (name: string) => run(["plot", "-", "-o", at(name)], "a,b\n1,2\n3,4\n");
    expect((await plot("null")).code).toBe(0);
    expect(await plot("full")).toMatchObject({ code: 1, err: expect.stringContaining("is full") });
    expect((await plot("disk")).err).toContain("is a disk, which --output does not write into");
    expect((await plot("socket")).err).toContain("is a socket, which --output does not write into");
    server.close();
    expect((await stat(at("null"))).isCharacterDevice() && (await stat(at("full"))).isCharacterDevice()).toBe(true);
    expect((await stat(at("disk"))).isBlockDevice()).toBe(true);
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  }),
);

test("what has become a folder or a link meanwhile is not replaced", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out");
    for (const make of [() => mkdir(path), () => symlink("elsewhere", path)]) {
      const file = await GrowingFile.create(path);
      await file.write("new");
      await make();
      await expect(file.finish()).rejects.toThrow("meanwhile, which is not replaced");
      await file.discard();
      expect(await readdir(folder)).toEqual(["out"]);
      await rm(path, { recursive: true });
    }
  }));

test("rows interrupted by Ctrl-C are kept beside the file's name, and never replace what is there", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out.csv");
    await mkdir(`${path}.partial`);
    await symlink("precious", `${path}.2.partial`);
    await writeFile(`${path}.3.partial`, "older rows");
    const controller = new AbortController();
    const { context } = captured("", controller.signal);
    const stopped = await openRows(context, path, ["a", "b"]);
    await stopped.write(rowsOf(1, 2));
    controller.abort(new Interrupted("stopped"));
    expect(String(await stopped.abandon(controller.signal.reason))).toContain(
      `the 1 rows so far are in ${path}.4.partial`,
    );
    expect(await readFile(`${path}.3.partial`, "utf8")).toBe("older rows");
    expect(await readFile(`${path}.4.partial`, "utf8")).toBe("a,b\n1,2\n");
    expect((await readdir(folder)).length).toBe(4);
  }));

test("faults of the input leave nothing; all others keep the rows that were finished and say where", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out.csv");
    const { context } = captured();
    const begin = async () => {
      const rows = await openRows(context, path, ["a", "b"]);
      await rows.write(rowsOf(1, 2));
      return rows;
    };
    const wrong = new PushforwardError("format", "line 7 is no row");
    expect(await (await begin()).abandon(wrong)).toBe(wrong);
    expect(await readdir(folder)).toEqual([]);
    const lost = new PushforwardError("device-lost", "the device is gone");
    expect(await (await begin()).abandon(lost)).toMatchObject({
      code: "device-lost",
      message: `the device is gone; the 1 rows so far are in ${path}.partial`,
    });
    expect(await readFile(`${path}.partial`, "utf8")).toBe("a,b\n1,2\n");
  }));

test("an output whose folder vanishes is put elsewhere, and the error says where", () =>
  inFolder(async (folder) => {
    const gone = join(folder, "gone");
    const cwd = process.cwd();
    const found: string[] = [];
    await mkdir(gone);
    const target = await findTarget(join(gone, "flow.safetensors"));
    const rows = await openRows(captured().context, join(gone, "rows.csv"), ["a", "b"]);
    await rows.write(rowsOf(1, 2));
    await rm(gone, { recursive: true });
    const error = await rows.finish().catch((fault: unknown) => fault);
    const told = [await rows.abandon(error), await writeWhole(target, "weights").catch((fault: unknown) => fault)];
    for (const fault of told) {
      expect(fault).toBeInstanceOf(FileError);
      const place = / (?:are|is) in (\S+)$/.exec(String(fault))?.[1] ?? "";
      expect(place.startsWith(cwd)).toBe(true);
      found.push(await readFile(place, "utf8"));
      await rm(place);
    }
    expect(found).toEqual(["a,b\n1,2\n", "weights"]);
  }));

test("two programs that write to one place leave the whole content of one", () =>
  inFolder(async (folder) => {
    const path = join(folder, "ein Ordner – ünïcode 漢字.csv");
    const { context } = captured();
    const both = await Promise.all([openRows(context, path, ["a", "b"]), openRows(context, path, ["a", "b"])]);
    for (const [i, rows] of both.entries()) for (let row = 0; row < 3; row++) await rows.write(rowsOf(i, row));
    await Promise.all(both.map((rows) => rows.finish()));
    expect(await readFile(path, "utf8")).toMatch(/^a,b\n(0,0\n0,1\n0,2\n|1,0\n1,1\n1,2\n)$/);
    expect(await readdir(folder)).toHaveLength(1);
  }));

test("a name as long as the file system takes has room for its temporary file and its partial one", () =>
  inFolder(async (folder) => {
    const path = join(folder, "ü".repeat(127));
    await writeWhole(path, "new");
    const file = await GrowingFile.create(path);
    await file.write("half");
    expect(await readFile((await file.keep()) ?? "", "utf8")).toBe("half");
    expect(await readdir(folder)).toHaveLength(2);
  }));

test("more rows than the disk has room for are refused before any is made", () =>
  inFolder(async (folder) => {
    const target = await findTarget(join(folder, "out.bin"));
    await expect(checkRoom(target, 1e18)).rejects.toThrow(/would have 1\.00e\+9 GB or more, but its disk has/);
    await expect(checkRoom(target, 10)).resolves.toBeUndefined();
  }));

test("an output that is - goes to stdout, and what is said of it to stderr", async () => {
  const { code, out, err } = await run(["plot", "-", "-o", "-", "--json"], "a,b\n1,2\n3,4\n");
  expect(code).toBe(0);
  expect(out.slice(1, 4)).toBe("PNG");
  expect(JSON.parse(err)).toMatchObject({ output: "-", rows: 2 });
  const failed = await run(["plot", "-", "--output=-", "--json"], "a,b\n1,x\n");
  expect([failed.code, failed.out]).toEqual([1, ""]);
  expect(failed.err).toContain('{"error":');
});

const otherFormat = /written as csv or bin, not as \.[a-z0-9]+: let it end in .* or say .* --format csv/;

test.each([
  ...["x.parquet", "x.XLSX", "x.json", "run-0.5.npy", "x.7z"].map((name) => [name, otherFormat] as const),
  ["x.csv.gz", /without compression: pipe them through a program that compresses, as in -o - \| gzip > \S*x\.csv\.gz/],
  ["x.zst", /as in -o - \| zstd > /],
  ["x.tsv", /with commas between, not with tabs: let it end in \.csv/],
] as const)("rows do not go to %s, which promises another format, unless --format says what it gets", (name, message) =>
  inFolder(async (folder) => {
    const output = join(folder, name);
    for (const words of [
      ["sample", "no-flow", "-n", "3", "-o", output],
      ["log-prob", "no-flow", "no-data", "-o", output],
    ]) {
      const { code, err } = await run(words);
      expect(code).toBe(2);
      expect(err).toMatch(message);
      expect((await run([...words, "--format", "csv"])).err).toContain("no such file or folder: no-flow");
    }
    expect(await readdir(folder)).toEqual([]);
  }),
);

test.each([
  ["rows", "csv"],
  ["rows.CSV", "csv"],
  ["rows.txt", "csv"],
  ["run-0.5", "csv"],
  ["run-1.5e3", "csv"],
  ["v1.2/rows", "csv"],
  ["rows.BIN", "bin"],
])("rows go to %s as %s", (path, format) => {
  expect(rowFormatOf({ path, kind: "file" })).toBe(format);
});

test("what a pipe or a device is called says nothing of a format", () => {
  expect(rowFormatOf({ path: "/dev/shm/x.json", kind: "pipe" })).toBe("csv");
});

test.each(["flow.csv", "flow.CSV", "flow.pt", "flow.safetensors.gz"])("a flow is not saved as %s", (name) =>
  inFolder(async (folder) => {
    const path = join(folder, name);
    for (const words of [
      ["-o", path],
      ["-o", join(folder, "flow"), "--checkpoint", path],
    ]) {
      const { code, err } = await run(["train", "no-data", ...words]);
      expect(code).toBe(2);
      expect(err).toContain("let it end in .safetensors");
    }
    expect(await readdir(folder)).toEqual([]);
  }),
);
