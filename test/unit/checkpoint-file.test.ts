import { spawn } from "node:child_process";
import { mkdir, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { checkpointOptions, claimTraining } from "../../cli/checkpoint.ts";
import { readModel } from "../../cli/model.ts";
import { findTarget } from "../../cli/targets.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/io/safetensors.ts";
import { captured, inFolder } from "./command-line.ts";
import { flowFile } from "./flow-file.ts";

/** Runs a program that writes to `path` as checkpoints are written, and kills it where it says "now". Resolves to the signal. */
async function killed(folder: string, program: string): Promise<string | null> {
  const library = join(folder, "files.mjs");
  await build({ entryPoints: ["cli/files.ts"], bundle: true, platform: "node", format: "esm", outfile: library });
  const main = join(folder, "main.mjs");
  const imports = `import { GrowingFile, writeWhole } from ${JSON.stringify(pathToFileURL(library).href)};`;
  await writeFile(main, `${imports}\nconst path = ${JSON.stringify(join(folder, "state"))};\n${program}`);
  const child = spawn(process.execPath, [main], { stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.stdout.on("data", (text) => {
      if (String(text).includes("now")) child.kill("SIGKILL");
    });
    child.on("exit", (_, signal) => resolve(signal));
  });
}

test("a program that is killed in the middle of a write leaves the old file whole", () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, "state"), "old");
    const half = `
      const file = await GrowingFile.create(path);
      await file.write("n");
      console.log("now");
      setInterval(() => {}, 1000);`;
    expect(await killed(folder, half)).toBe("SIGKILL");
    expect(await readFile(join(folder, "state"), "utf8")).toBe("old");
    expect((await readdir(folder)).filter((name) => /^\.state\..*\.partial$/.test(name))).toHaveLength(1);
  }));

test("a program that is killed at any moment of many writes leaves one of the contents, never a part", () =>
  inFolder(async (folder) => {
    const many = `
      for (let i = 0; ; i++) {
        await writeWhole(path, String(i % 10).repeat(100_003));
        if (i === 5) console.log("now");
      }`;
    expect(await killed(folder, many)).toBe("SIGKILL");
    expect(await readFile(join(folder, "state"), "utf8")).toMatch(/^(\d)\1{100002}$/);
  }));

const choice = { checkpointEvery: 5, resume: false, output: "flow.safetensors" };

test("checkpoint options that do not go together are told", () =>
  inFolder(async (folder) => {
    const output = join(folder, "flow.safetensors");
    const claim = (more: object) => claimTraining(captured().context, "-", { ...choice, output, ...more });
    await expect(claim({ resume: true })).rejects.toThrow("--checkpoint <file>");
    await expect(claim({ checkpoint: `${folder}/./flow.safetensors` })).rejects.toThrow("a file of its own");
    await expect(claim({ checkpoint: "-" })).rejects.toThrow("written many times");
    const { checkpoint } = await claim({ checkpoint: join(folder, "state"), resume: true });
    expect(checkpoint?.place).toBe(join(await realpath(folder), "state"));
    expect(await readdir(folder)).toEqual([]);
  }));

test("a checkpoint is written with its columns, and found again by --resume", () =>
  inFolder(async (folder) => {
    const { context, text } = captured();
    const path = join(folder, "state.safetensors");
    const target = await findTarget(path);
    const settings = { "--steps": "20", "the data": "0123" };
    expect(await checkpointOptions(context, undefined, choice, ["a"], {})).toEqual({});
    const first = await checkpointOptions(context, target, { ...choice, resume: true }, ["a", "b"], settings);
    expect(first).toMatchObject({ checkpoint: { every: 5 } });
    expect(first.resume).toBeUndefined();
    expect(text.err).toContain("starting from the first step");
    const { tensors, metadata } = decodeSafetensors(flowFile());
    const training = { "pushforward.training": JSON.stringify({ step: 1234 }) };
    await first.checkpoint?.save(encodeSafetensors(tensors, { ...metadata, ...training }), 1234);
    expect(await readdir(folder)).toEqual(["state.safetensors"]);
    const { bytes, columns } = await readModel(path);
    expect(columns).toEqual(["a", "b"]);
    const again = await checkpointOptions(context, target, { ...choice, resume: true }, ["a", "b"], settings);
    expect(again.resume).toEqual(bytes);
    expect(text.err).toContain("1,234 steps done");
    const other = { "--steps": "30", "the data": "4567" };
    await expect(checkpointOptions(context, target, { ...choice, resume: true }, ["a", "b"], other)).rejects.toThrow(
      /--steps is 30 here, but 20 in the checkpoint; the rows of the data are others .* use --from .*state\.safetensors without/,
    );
  }));

test("a checkpoint without the options of its training is left to the training to compare", () =>
  inFolder(async (folder) => {
    const path = join(folder, "state");
    await writeFile(path, encodeSafetensors({ w: { shape: [1], data: Float32Array.of(3) } }, {}));
    const { context } = captured();
    const options = await checkpointOptions(context, await findTarget(path), { ...choice, resume: true }, ["a"], {
      "--steps": "30",
    });
    expect(options.resume).toEqual(new Uint8Array(await readFile(path)));
  }));

test("a checkpoint that cannot be written is a warning: the training goes on", () =>
  inFolder(async (folder) => {
    const { context, text } = captured();
    await mkdir(join(folder, "gone"));
    const target = await findTarget(join(folder, "gone", "state"));
    await rm(join(folder, "gone"), { recursive: true });
    const options = await checkpointOptions(context, target, choice, ["a"], {});
    await options.checkpoint?.save(encodeSafetensors({ w: { shape: [1], data: Float32Array.of(3) } }, {}), 5);
    expect(text.err).toContain("warning: a checkpoint could not be written");
    expect(await readdir(folder)).toEqual([]);
  }));
