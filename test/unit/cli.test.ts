import { readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { delimiterText, nameList, timeEncoding, transformList, wholeNumber, widthList } from "../../cli/arguments.ts";
import { Interrupted } from "../../cli/context.ts";
import { duration, startProgress } from "../../cli/report.ts";
import { openRows } from "../../cli/row-output.ts";
import { shuffledIndices, splitRows } from "../../cli/split.ts";
import { RunningMean } from "../../cli/statistics.ts";
import { heeded } from "../../cli/training-flags.ts";
import { captured, inFolder, run } from "./command-line.ts";
import { flowFile } from "./flow-file.ts";

test.each([[], ["train"], ["sample"], ["log-prob"], ["plot"], ["export"], ["info"]])(
  "help of %j teaches with examples",
  async (...words) => {
    const { code, out } = await run([...words, "--help"]);
    expect(code).toBe(0);
    expect(out).toContain("Usage: pushforward");
    expect(out).toMatch(/Examples:|A first tour:/);
  },
);

test.each(["train", "sample", "push", "log-prob", "evaluate", "plot", "export", "worker"])(
  "help of %s says a default once",
  async (name) => {
    const { out } = await run([name, "--help"]);
    expect(out).toContain("(default: ");
    expect(out).not.toMatch(/\(default: [^)]*\)\s*\(default/);
  },
);

test.each([
  ["1e3", 1000],
  ["1E6", 1e6],
  ["2.5e3", 2500],
  ["1e+2", 100],
  ["40", 40],
  ["1.0", 1],
])("%s is a count", (text, value) => {
  expect(wholeNumber(1)(text)).toBe(value);
});

test("1e3 is a count of every option that counts", () => {
  expect(widthList("1e2, 64")).toEqual([100, 64]);
  expect(timeEncoding("fourier:1e1")).toEqual({ fourier: 10 });
});

test("names of columns are read as a line of a CSV is", () => {
  expect(nameList("longitude, latitude")).toEqual(["longitude", "latitude"]);
  expect(nameList('"income, net",age')).toEqual(["income, net", "age"]);
  expect(nameList('"size 5""", b"c')).toEqual(['size 5"', 'b"c']);
});

test.each(["\\t", "tab", "TAB", "\t"])("the delimiter %j is a tab", (text) => {
  expect(delimiterText(text)).toBe("\t");
});

test("every option in the help says its default or is a choice of the user", async () => {
  const { out } = await run(["train", "--help"]);
  for (const words of ["(default: 512)", 'default: "silu"', "(default: 0.002)", "nats", "seed"])
    expect(out.replace(/\s+/g, " ")).toContain(words);
});

test("the version is the package's", async () => {
  expect(await run(["--version"])).toMatchObject({ code: 0, out: "1.2.3\n" });
});

test.each([
  [["trian", "x.csv"], "Did you mean train"],
  [["train", "-o", "f"], "missing required argument"],
  [["train", "x.csv"], "--output"],
  [["train", "x.csv", "-o", "f", "--stpes", "3"], "Did you mean --steps"],
  [["train", "x.csv", "-o", "f", "--steps", "0"], "whole number of at least 1"],
  [["train", "x.csv", "-o", "f", "--steps", "1.5"], "whole number of at least 1"],
  [["train", "x.csv", "-o", "f", "--steps", "1e18"], "'--steps <count>' argument '1e18'"],
  [["train", "x.csv", "-o", "f", "--batch-size", "1e12"], "at least 1 and at most"],
  [["train", "x.csv", "-o", "f", "--hidden", "1e9"], "1 to 16384"],
  [["train", "x.csv", "-o", "f", "--time", "fourier:1e9"], "1 to 64"],
  [["train", "x.csv", "-o", "f", "--gradient-clip", "1e300"], "at most 1e+38"],
  [["sample", "f", "-o", "x", "-n", "1", "--seed", "1e30"], "'--seed <integer>' argument '1e30'"],
  [["sample", "f", "-o", "x", "-n", "1e15"], "at most 1000000000000"],
  [["train", "x.csv", "-o", "f", "--hidden", "64,,64"], "as in 64,64,64"],
  [["train", "x.csv", "-o", "f", "--time", "fourier"], "fourier:4"],
  [["train", "x.csv", "-o", "f", "--activation", "swish"], "silu, tanh"],
  [["train", "x.csv", "-o", "f", "--holdout", "1"], "below 1"],
  [["train", "x.csv", "-o", "f", "--learning-rate", "0"], "above 0"],
  [["train", "x.csv", "-o", "f", "--columns", "a,a"], '"a" is named twice'],
  [["train", "x.csv", "-o", "f", "--columns", "a,,b"], "longitude,latitude"],
  [["train", "x.csv", "-o", "f", "--columns", '"a,b'], `'"income, net",age'`],
  [["train", "x.csv", "-o", "f", "--delimiter", ""], "it is empty"],
  [["train", "x.csv", "-o", "f", "--delimiter", "\n"], "line break"],
  [["plot", "x.csv", "-o", "f", "--delimiter", '"'], "no double quote"],
  [["log-prob", "f", "x.csv", "--delimiter", "."], "no part of numbers"],
  [["train", "x.csv", "-o", "f", "--steps", "1e-3"], "whole number of at least 1"],
  [["train", "x.csv", "-o", "f", "--steps", "1.55e1"], "whole number of at least 1"],
  [["train", "x.csv", "-o", "f", "--steps", "1e400"], "whole number of at least 1"],
  [["sample", "f", "-o", "x", "-n", "1_000"], "whole number"],
  [["train", "x.csv", "-o", "f", "--resume"], "say which with --checkpoint"],
  [["train", "x.csv", "-o", "f", "--checkpoint", "./f"], "a file of its own"],
  [["train", "x.csv", "-o", "f", "--checkpoint-every", "0"], "whole number of at least 1"],
  [["sample", "f", "-o", "x"], "--count"],
  [["plot", "f.safetensors", "-o", "x.png", "--kind", "trajectories", "--at", "0.5"], "--at is for --kind density or"],
  [["plot", "f.safetensors", "-o", "x.png", "--paths", "9"], "--paths is for --kind trajectories"],
  [["plot", "f.safetensors", "-o", "x.png", "--kind", "field", "--bins", "9"], "--bins is for densities"],
  [["plot", "x.csv", "-o", "x.png", "--kind", "scatter", "--scale", "log"], "--scale is for densities"],
  [
    ["plot", "x.csv", "-o", "x.png", "--guidance", "2"],
    "--guidance is for flows, but --kind density is drawn of CSV files",
  ],
  [["plot", "f.safetensors", "-o", "x.png", "--no-header"], "--no-header is for CSV files, but"],
  [["export", "f.safetensors", "--pytorch", "-o", "x.txt"], "a name that ends in .py"],
  [["sample", "f", "-o", "x", "-n", "1", "--steps", "1e7"], "at least 1 and at most 1000000"],
  [["sample", "f", "-o", "x", "-n", "1", "--method", "dopri5", "--steps", "9"], "use --tolerance"],
  [["sample", "f", "-o", "x", "-n", "1", "--max-steps", "9"], "is for --method dopri5"],
  [["log-prob", "f", "x", "--method", "dopri5", "--check-steps"], "compare two values of --tolerance"],
  [["sample", "f", "-o", "x", "-n", "-3"], "whole number"],
  [["plot", "x.csv", "-o", "x.png", "--range", "1,0,0,1"], "low and high of x"],
  [["plot", "x.csv", "-o", "x.png", "--range", "0,1e-14,5400000,5400000.000000001"], "too short for axes"],
  [["plot", "x.csv", "-o", "x.png", "--range", "0,1e99,0,1"], "between -3.4e38 and 3.4e38"],
  [["plot", "x.csv", "-o", "x.png", "--range", "0,1e400,0,1"], "1e400 is beyond the numbers there are here"],
  [["plot", "x.csv", "-o", "x.png", "--bins", "1e8"], "at least 1 and at most 2000"],
  [["plot", "x.csv", "-o", "x.png", "--bins", "0"], "at least 1"],
  [["plot", "x.csv", "-o", "x.png", "--width", "1000000"], "at least 50 and at most 4000"],
  [["plot", "x.csv", "-o", "x.pdf"], "pictures are written as PNG alone: give it the ending .png instead of .pdf"],
  [["info", "--software", "maybe"], "allow, forbid, require"],
  [[], "Usage"],
])("the wrong command line %j exits with 2 and says what is expected", async (words, message) => {
  const { code, err } = await run(words);
  expect(code).toBe(2);
  expect(err).toContain(message);
});

test("a file that is not there exits with 1 and is named", async () => {
  const path = join(tmpdir(), "pushforward-no-such-file");
  const { code, err, out } = await run(["sample", path, "-n", "3", "-o", "x.csv", "--json"]);
  expect(code).toBe(1);
  expect(err).toBe(`error: no such file or folder: ${path}\n`);
  expect(JSON.parse(out)).toEqual({ error: { code: "ENOENT", message: `no such file or folder: ${path}` } });
});

test("a folder that is not there is told by the name that was asked for", async () => {
  const path = join(tmpdir(), "pushforward-no-such-folder", "x.png");
  const { code, err } = await run(["plot", "-", "-o", path], "a,b\n1,2\n");
  expect(code).toBe(1);
  expect(err).toBe(`error: no such folder: ${dirname(path)}, for --output ${path}: make it first\n`);
});

test("a damaged flow file exits with 1 and code format", () =>
  inFolder(async (folder) => {
    const path = join(folder, "flow.safetensors");
    await writeFile(path, "{}");
    const { code, out } = await run(["sample", path, "-n", "3", "-o", join(folder, "x.csv"), "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(out).error.code).toBe("format");
    expect(await readdir(folder)).toEqual(["flow.safetensors"]);
  }));

test("a missing column exits with 1 and names the nearest, before any device is opened", () =>
  inFolder(async (folder) => {
    const path = join(folder, "data.csv");
    await writeFile(path, "longitude,latitude\n1,2\n");
    const { code, err } = await run(["train", path, "-o", join(folder, "f"), "-c", "longtude,latitude"]);
    expect(code).toBe(1);
    expect(err).toContain('did you mean "longitude"?');
  }));

test("plot writes a PNG from a file and says what it drew", () =>
  inFolder(async (folder) => {
    const path = join(folder, "data.csv");
    await writeFile(
      path,
      `x,y,z\n${Array.from({ length: 101 }, (_, i) => `${i},${(i * i) % 17},0`).join("\n")}\nbad,1,2\n`,
    );
    for (const [i, more] of [
      [],
      ["--kind", "scatter"],
      ["--scale", "log", "--aspect", "2"],
      ["--range", "0,10,0,5"],
    ].entries()) {
      const png = join(folder, `${i}.png`);
      const { code, out } = await run([
        "plot",
        path,
        path,
        "-o",
        png,
        "-c",
        "x,y",
        "--skip-invalid",
        "--json",
        ...more,
      ]);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({ output: png, rows: 202, skipped: 2 });
      expect((await readFile(png)).subarray(1, 4).toString()).toBe("PNG");
    }
  }));

test("of a training's options info tells those that others let count", () => {
  const shape = { "--width": "64", "--hidden": "64,64,64", "--coupling": "independent", "--steps": "9" };
  const residual = { "--field": "residual", "--objective": "likelihood" };
  expect(heeded({ ...shape, ...residual })).toEqual({ ...residual, "--width": "64", "--steps": "9" });
  const mlp = { "--field": "mlp", "--objective": "flow-matching" };
  const { "--width": _, ...own } = shape;
  expect(heeded({ ...shape, ...mlp })).toEqual({ ...mlp, ...own });
  // what does not say what it depends on stays
  expect(heeded(shape)).toEqual(shape);
});

test("plot reads stdin and takes any two columns", () =>
  inFolder(async (folder) => {
    const png = join(folder, "x.png");
    expect((await run(["plot", "-", "-o", png, "--columns", "b,a"], "a,b\n1,2\n3,4\n")).code).toBe(0);
    const { code, err } = await run(["plot", "-", "-o", png, "--columns", "a"], "a,b\n1,2\n");
    expect(code).toBe(2);
    expect(err).toContain("a plot shows 2");
  }));

test("a kind of plot that is of flows of two columns refuses others as what was asked for, before anything is solved", () =>
  inFolder(async (folder) => {
    const flow = join(folder, "flow.safetensors");
    await writeFile(flow, flowFile({ dim: 3 }));
    for (const kind of ["density", "field"]) {
      const { code, err } = await run(["plot", flow, "-o", join(folder, "x.png"), "--kind", kind]);
      expect(code).toBe(2);
      expect(err).toMatch(
        new RegExp(`--kind ${kind} is of flows of 2 columns, but .* has 3: draw --kind trajectories`),
      );
    }
    await writeFile(flow, flowFile({ dim: 1 }));
    const { code, err } = await run(["plot", flow, "-o", join(folder, "x.png")]);
    expect([code, err]).toEqual([1, expect.stringContaining("has one column, but a plot shows 2")]);
    expect(await readdir(folder)).toEqual(["flow.safetensors"]);
  }));

test.each([
  ["a,b\n", [], "stdin has no rows"],
  ["a,b\nx,1\n", ["--skip-invalid"], "leaves 0 of 1 rows"],
  ["a,b\n1,2\n", ["--range", "5,6,0,9"], "--range leaves out all of 1 row: take one that holds some"],
  ["a,b\n1e-300,1e-300\n2e-300,2e-300\n", [], '"a" and "b" of stdin have values so small'],
])("a plot that would show nothing is an error and no picture: %j %j", (input, more, message) =>
  inFolder(async (folder) => {
    const { code, err } = await run(["plot", "-", "-o", join(folder, "x.png"), ...more], input);
    expect(err).toContain(message);
    expect(code).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  }),
);

test("one row, a column of one value and large offsets are drawn", () =>
  inFolder(async (folder) => {
    for (const input of ["a,b\n1,2\n", "a,b\n7e-6,1\n7e-6,2\n", "a,b\n5400000.1,1e30\n5400000.2,-1e30\n"])
      for (const more of [[], ["--kind", "scatter"], ["--scale", "log"], ["--trim", "0.1"]]) {
        const { code, out } = await run(["plot", "-", "-o", join(folder, "x.png"), "--json", ...more], input);
        expect(code).toBe(0);
        expect(JSON.parse(out)).toMatchObject({ outside: 0 });
      }
  }));

test("a bad cell names line, column and value, and leaves no file", () =>
  inFolder(async (folder) => {
    const { code, err } = await run(["plot", "-", "-o", join(folder, "x.png")], "a,b\n1,2\n3,oops\n");
    expect(code).toBe(1);
    expect(err).toContain('line 3 of the CSV has "oops" in column "b"');
    expect(await readdir(folder)).toEqual([]);
  }));

test("Ctrl-C exits with 130", async () => {
  const signal = AbortSignal.abort(new Interrupted("stopped"));
  const { code, err } = await run(["plot", "-", "-o", "x.png"], "a,b\n1,2\n", signal);
  expect(code).toBe(130);
  expect(err).toBe("stopped\n");
});

test("binary output is row-major f32 with the last block as last column", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out.bin");
    const rows = await openRows(captured().context, path, ["a", "b", "log_prob"]);
    await rows.write([
      { data: Float32Array.of(1, 2, 3, 4), width: 2 },
      { data: Float32Array.of(-1, -2), width: 1 },
    ]);
    await rows.finish();
    const bytes = await readFile(path);
    expect(Array.from({ length: 6 }, (_, i) => bytes.readFloatLE(4 * i))).toEqual([1, 2, -1, 3, 4, -2]);
  }));

test("away from a terminal progress is plain lines, and the last one is always there", () => {
  const { context, text } = captured();
  const progress = startProgress(context, "training", 1000);
  for (let i = 1; i <= 1000; i++) progress.update(i, "loss 1");
  progress.update(1000);
  progress.stop();
  expect(text.err).toBe("training 100 % · 1000/1000 · loss 1\n");
});

test("a split keeps every row once and depends on the seed alone", () => {
  const data = Float32Array.from({ length: 2 * 101 }, (_, i) => i);
  const { kept, held } = splitRows(data, 2, 0.1, 7);
  expect([kept.length, held.length]).toEqual([2 * 91, 2 * 10]);
  expect([...kept, ...held].sort((a, b) => a - b)).toEqual(Array.from(data));
  expect(kept[1]).toBe((kept[0] ?? 0) + 1);
  expect(splitRows(data, 2, 0.1, 7).held).toEqual(held);
  expect(splitRows(data, 2, 0.1, 8).held).not.toEqual(held);
});

test("a shuffle visits every place about equally often", () => {
  const seen = new Uint32Array(5);
  for (let seed = 0; seed < 5000; seed++) {
    const at = shuffledIndices(5, seed).indexOf(0);
    seen[at] = (seen[at] ?? 0) + 1;
  }
  // Binomial with mean 1000 and deviation 28: five deviations.
  for (const times of seen) expect(Math.abs(times - 1000)).toBeLessThan(142);
});

test("the running mean and its standard error agree with the closed form", () => {
  const mean = new RunningMean();
  mean.add(Float32Array.of(1, 2, Number.NaN));
  mean.add(Float32Array.of(3, 4, Number.NEGATIVE_INFINITY));
  expect(mean.mean).toBe(2.5);
  expect(mean.standardError).toBeCloseTo(Math.sqrt(5 / 3 / 4), 12);
  expect([mean.count, mean.nonFinite]).toEqual([4, 2]);
  const none = new RunningMean();
  none.add([Number.NaN]);
  expect([none.mean, none.standardError]).toEqual([null, null]);
});

test("times are written as people say them", () => {
  expect([duration(4.25), duration(45), duration(125)]).toEqual(["4.3 s", "45 s", "2 min 05 s"]);
});

test("a transform is read column by column", () => {
  expect(transformList("interval:-1:2.5, positive,none,simplex:3,circular:24,circular:360:-180,latitude")).toEqual([
    { kind: "interval", low: -1, high: 2.5 },
    { kind: "positive" },
    null,
    { kind: "simplex", size: 3 },
    { kind: "circular", period: 24 },
    { kind: "circular", period: 360, low: -180 },
    { kind: "latitude" },
  ]);
  for (const wrong of [
    "",
    "interval",
    "circular",
    "circular:0",
    "circular:360:x",
    "interval:2:1",
    "interval:a:b",
    "simplex:0",
    "positive,",
    "circle",
  ])
    expect(() => transformList(wrong)).toThrow(
      /expected none, positive, interval:LOW:HIGH, circular:PERIOD .*latitude or simplex:COLUMNS/,
    );
});
