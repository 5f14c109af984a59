import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { trainingFlags } from "../../cli/training-flags.ts";
import { fuzzing } from "../hostile.ts";
import { inFolder, run } from "./command-line.ts";
import { flowFile } from "./flow-file.ts";

/**
 * Random command lines and random files: whatever comes, the exit code is a documented one, no raw error reaches the user, and
 * nothing but a named output is written. FUZZ_SEED and FUZZ_RUNS vary it; a failure prints its seed and path.
 * Every command line ends before a device is opened, as none of them has all that it needs.
 */
const { seed, numRuns } = fuzzing(100);
const parameters = { seed, numRuns };
const seconds = process.env.FUZZ_RUNS ? 3600 : 60;

const raw =
  /\b(TypeError|RangeError|ReferenceError|SyntaxError)\b|\bE[A-Z]{4,}: |at .*\.[jt]s:\d+|\bundefined\b|\[object Object\]|± NaN|fault of pushforward/;

const number = fc.oneof(
  fc.constantFrom(
    "0",
    "-1",
    "1e15",
    "1e18",
    "1e30",
    "1e400",
    "NaN",
    "Infinity",
    "-0",
    "0x10",
    "1.5",
    "1e-320",
    "",
    " ",
    "3",
  ),
  fc.double().map(String),
);
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom("", "-", ",", '"', "x,y", "é", "\0"),
);
const options = fc.oneof(
  fc.tuple(
    fc.constantFrom(
      ...["--count", "--steps", "--seed", "--hidden", "--batch-size", "--time", "--learning-rate", "--warmup", "--ema"],
      ...["--gradient-clip", "--holdout", "--evaluation-steps", "--checkpoint-every", "--tolerance", "--max-steps"],
      ...["--bins", "--width", "--aspect", "--trim", "--range", "--range-size", "--lock-seconds"],
    ),
    number,
  ),
  fc.tuple(
    fc.constantFrom(
      ...Object.values(trainingFlags)
        .flat()
        .map(({ option }) => option.long as string),
    ),
    fc.oneof(number, anyText),
  ),
  fc.tuple(
    fc.constantFrom("--columns", "--delimiter", "--title", "--method", "--format", "--activation", "--kind"),
    anyText,
  ),
  fc.tuple(
    fc.constantFrom("--json", "--skip-invalid", "--header", "--no-header", "--resume", "--log-prob", "--help", "-x"),
  ),
);
const csv = fc
  .array(fc.array(fc.oneof(number, anyText, fc.integer().map(String)), { maxLength: 4 }), { maxLength: 6 })
  .map((lines) => lines.map((cells) => cells.join(",")).join("\n"));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  csv.map((text) => new TextEncoder().encode(text)),
  csv.map((text) => new TextEncoder().encode(`x,y\n${text}`)),
  // A flow of which a part is another.
  fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.nat()).map(([at, part, end]) => {
    const whole = flowFile();
    whole.set(part, at % (whole.length - part.length));
    return end % 2 ? whole : whole.subarray(0, end % whole.length);
  }),
);

test(
  "no command line brings a raw error, changes an input or leaves a file that was not named",
  () =>
    inFolder(async (folder) => {
      const place = join(folder, "place");
      const path = (name: string) => join(place, name);
      const file = fc.constantFrom(path("data"), path("none"), place, "-", `${path("data")}/x`);
      const words = fc
        .tuple(
          fc.constantFrom("train", "sample", "log-prob", "plot", "traim", ""),
          fc.array(file, { maxLength: 3 }),
          fc.array(options, { maxLength: 4 }),
          // Each is refused before the command has a result, so that no device is opened.
          fc.constantFrom<string[]>(
            [],
            ["-o", path("data")],
            ["-o", path("no/out")],
            ["-o", path("x.json")],
            ["-o", ""],
          ),
        )
        .map(([command, files, more, output]) => [command, ...files, ...more.flat(), ...output]);
      await fc.assert(
        fc.asyncProperty(words, bytes, csv, async (line, content, stdin) => {
          await rm(place, { recursive: true, force: true });
          await mkdir(place);
          await writeFile(path("data"), content);
          const { code, out, err } = await run(line, stdin);
          expect([0, 1, 2, 3]).toContain(code);
          // What the user typed may be shown again.
          expect(err.replaceAll(place, "")).not.toMatch(raw);
          expect(out).not.toMatch(raw);
          expect(await readdir(place)).toEqual(["data"]);
          expect(new Uint8Array(await readFile(path("data")))).toEqual(Uint8Array.from(content));
        }),
        parameters,
      );
    }),
  seconds * 1000,
);

test(
  "no content of a file brings a raw error",
  () =>
    inFolder(async (folder) => {
      const data = join(folder, "data");
      const other = join(folder, "other");
      await fc.assert(
        fc.asyncProperty(bytes, bytes, fc.boolean(), async (one, two, skip) => {
          await writeFile(data, one);
          await writeFile(other, two);
          const more = skip ? ["--skip-invalid"] : [];
          for (const line of [
            // Without a column that is there the CSV is read, but nothing is trained.
            ["train", data, "-o", join(folder, "out"), "--columns", "not there", ...more],
            ["train", data, "-o", join(folder, "out"), "--from", other, "--columns", "not there", ...more],
            ["log-prob", other, data, "--columns", "not there", ...more],
            ["sample", data, "-n", "1", "-o", join(folder, "out"), "--method", "euler", "--tolerance", "1e-3"],
          ]) {
            const { code, out, err } = await run(line);
            expect([1, 2]).toContain(code);
            expect(err).not.toMatch(raw);
            expect(out).toBe("");
          }
          expect((await readdir(folder)).sort()).toEqual(["data", "other"]);
          expect(new Uint8Array(await readFile(data))).toEqual(Uint8Array.from(one));
        }),
        { ...parameters, numRuns: Math.ceil(numRuns / 3) },
      );
    }),
  seconds * 1000,
);
