import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { shuffledIndices } from "../../cli/split.ts";
import { toyData } from "../../src/data/toy.ts";
import { saveFlow } from "../../src/flow/save-file.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { run } from "../unit/command-line.ts";

let folder = "";
const file = (name: string) => join(folder, name);
const rows = 150;
const offset = 5_400_000;
const centred = toyData("moons", rows);

/** The rows of a table, "id" among them as text, with `north` far from 0 beside a spread of 0.1. */
function table(north: number): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const y = Math.round((centred[2 * i + 1] ?? 0) * 100 * 4096) / 1000 / 4096;
    return `"r, ${i}",${centred[2 * i]},${north + y}`;
  });
  return `id,east,north\n${lines.join("\n")}\n`;
}

async function train(data: string, flow: string, ...more: string[]) {
  const words = ["train", file(data), "-o", file(flow), "--hidden", "8", "--steps", "30", "--json"];
  const { code, out, err } = await run([...words, ...more]);
  return { code, err, result: JSON.parse(out) };
}

const numbers = (text: string, column: number) =>
  text
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => Number(line.split(",")[column]));

function deviation(values: readonly number[], mean = values.reduce((sum, v) => sum + v, 0) / values.length): number {
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length);
}

let trained: { near: Awaited<ReturnType<typeof train>>; far: Awaited<ReturnType<typeof train>> };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pushforward-data-"));
  await writeFile(file("near.csv"), table(0));
  await writeFile(file("far.csv"), table(offset));
  const columns = ["--columns", "east,north"];
  trained = {
    near: await train("near.csv", "near.flow", ...columns),
    far: await train("far.csv", "far.flow", ...columns),
  };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("an offset of millions changes neither likelihoods nor the spread of samples", async () => {
  const { near, far } = trained;
  expect([near.code, far.code]).toEqual([0, 0]);
  expect(far.result.heldOut.logLikelihood).toBeCloseTo(near.result.heldOut.logLikelihood, 3);
  const samples = await Promise.all(
    ["near", "far"].map((name) => run(["sample", file(`${name}.flow`), "-n", "1e2", "-o", "-", "--log-prob"])),
  );
  const [a = [], b = []] = samples.map(({ out }) => numbers(out, 1));
  expect(new Set(b).size).toBe(100);
  expect(deviation(b)).toBeCloseTo(deviation(a), 5);
  for (const [i, value] of b.entries()) expect(value - offset).toBeCloseTo(a[i] ?? 0, 6);
  const [p = [], q = []] = samples.map(({ out }) => numbers(out, 2));
  for (const [i, value] of q.entries()) expect(value).toBeCloseTo(p[i] ?? 0, 3);
});

test("a file of f32 numbers is refused where it would lose the digits of a column", async () => {
  for (const words of [
    ["sample", file("far.flow"), "-n", "5", "-o", file("x.bin")],
    ["log-prob", file("far.flow"), file("far.csv"), "-o", file("x.bin")],
  ]) {
    const { code, err } = await run(words);
    expect(code).toBe(1);
    expect(err).toMatch(/f32 numbers, which are 0.5 apart around 54000.*the column "north".*CSV/);
  }
  const scores = ["log-prob", file("far.flow"), file("far.csv"), "-o", file("x.bin"), "--only-scores"];
  expect((await run(scores)).code).toBe(0);
  expect((await readFile(file("x.bin"))).length).toBe(4 * rows);
});

test("scores stand beside all columns as they were written, with numbers of rows where some are left out", async () => {
  const text =
    'id,when,"say ""hi""",north,east,log_prob\n"a, 1",2024-01-02,1.50,+0.10,1e0,x\nb,,"two\nlines",n/a,1,\nc,,, 0.2,.5,7\n';
  const scored = ["log-prob", file("near.flow"), "-", "-o", "-", "--skip-invalid"];
  const { code, out, err } = await run(scored, text);
  expect(code).toBe(0);
  const lines = out.split("\n");
  expect(lines[0]).toBe('id,when,"say ""hi""",north,east,log_prob,row,log_prob.2');
  expect(lines[1]).toMatch(/^"a, 1",2024-01-02,1\.50,\+0\.10,1e0,x,1,-?\d/);
  expect(lines[2]).toMatch(/^c,,,0\.2,\.5,7,3,-?\d/);
  expect(err).toContain('the data has a column "log_prob" of its own: the new one is called "log_prob.2"');
  expect(err).toContain('1 incomplete row left out ("north": 1)');
  const only = await run([...scored, "--only-scores"], text);
  expect(only.out.split("\n").map((line) => line.replace(/-?[\d.]+$/, "#"))).toEqual([
    "row,log_prob",
    "1,#",
    "3,#",
    "",
  ]);
  const plain = await run(["log-prob", file("near.flow"), "-", "-o", "-", "--only-scores"], "north,east\n0.1,1\n");
  expect(plain.out).toMatch(/^log_prob\n-?[\d.]+\n$/);
});

test("held-out rows of density 0 are said, are not in the mean, and make the exit code 3", async () => {
  const [outlier] = shuffledIndices(60, 0); // the first of those that are held out
  const lines = Array.from({ length: 60 }, (_, i) => `${Math.sin(i)},${i === outlier ? 1e25 : Math.cos(3 * i)}`);
  await writeFile(file("outlier.csv"), `x,y\n${lines.join("\n")}\n`);
  const { code, err, result } = await train("outlier.csv", "outlier.flow");
  expect(code).toBe(3);
  expect(result.heldOut).toMatchObject({ nonFinite: 1, minusInfinity: 1, logLikelihood: expect.any(Number) });
  expect(err).toMatch(
    /1 of 6 held-out rows has no finite log-probability and is not in the mean: -Infinity .*y 1e\+25/,
  );
  expect(err).not.toMatch(/NaN|held-out Infinity/);
  // where it is trained on, it would take the digits of all others
  const { code: refused, err: why } = await train("outlier.csv", "outlier.flow", "--holdout", "0");
  expect(refused).toBe(1);
  expect(why).toMatch(/"y" has 60 different values, of which 2 are left.*\nLeave it out:\n {2}--columns x/);
});

test("one held-out row has no standard error, and rows of which none is finite no mean", async () => {
  const lines = table(0).split("\n").slice(0, 11).join("\n");
  await writeFile(file("ten.csv"), lines);
  const { result } = await train("ten.csv", "ten.flow", "--columns", "east,north");
  expect(result.heldOut).toMatchObject({ standardError: null, nonFinite: 0, logLikelihood: expect.any(Number) });
  const far = "east,north\n1e30,0\n1,-1e30\n";
  const { code, out, err } = await run(["log-prob", file("near.flow"), "-", "--json"], far);
  expect(code).toBe(3);
  expect(JSON.parse(out)).toMatchObject({ rows: 0, mean: null, standardError: null, nonFinite: 2 });
  expect(err).toContain("2 of 2 rows have no finite log-probability");
  const words = await run(["log-prob", file("near.flow"), "-"], far);
  expect(words.out).toMatch(/^mean log-probability none: no row has a finite one in /);
});

test("solves that did not end are NaN, counted, not in the mean, and make the exit code 3", async () => {
  const limited = ["--method", "dopri5", "--tolerance", "1e-6", "--max-steps", "1", "--json"];
  const sampled = await run(["sample", file("near.flow"), "-n", "7", "-o", file("s.csv"), "--log-prob", ...limited]);
  expect(sampled.code).toBe(3);
  expect(JSON.parse(sampled.out)).toMatchObject({ rows: 7, nonFinite: 0, unfinished: 7 });
  expect(sampled.err).toContain("7 of 7 rows are NaN, as their solves did not end: allow more with --max-steps");
  expect((await readFile(file("s.csv"), "utf8")).split("\n")[1]).toBe("NaN,NaN,NaN");
  const scored = await run(["log-prob", file("near.flow"), file("near.csv"), ...limited]);
  expect(scored.code).toBe(3);
  expect(JSON.parse(scored.out)).toMatchObject({ rows: 0, mean: null, nonFinite: 0, unfinished: rows });
  const enough = await run(["log-prob", file("near.flow"), file("near.csv"), "--method", "dopri5", "--json"]);
  expect(enough.code).toBe(0);
  expect(JSON.parse(enough.out)).toMatchObject({ rows, unfinished: 0 });
});

test("a table without rows, or whose rows are all left out, is refused before anything is written", async () => {
  for (const [text, more, message] of [
    ["east,north\n", [], "the CSV has no rows, so there is nothing to score"],
    [
      "east,north\n1,x\n",
      ["--skip-invalid"],
      '--skip-invalid leaves none of 1 row of the CSV to score, because of "north": 1',
    ],
    ["v,v\n1,2\n", [], 'two columns called "v", the columns 1 and 2'],
  ] as const) {
    const { code, err } = await run(["log-prob", file("near.flow"), "-", "-o", file("none.csv"), ...more], text);
    expect(code).toBe(1);
    expect(err).toContain(message);
  }
  const carried = await run(["push", file("near.flow"), "-", "-o", file("none.csv")], "east,north\n");
  expect(carried).toMatchObject({
    code: 1,
    err: expect.stringContaining("the CSV has no rows, so there is nothing to"),
  });
  expect(await readdir(folder)).not.toContain("none.csv");
  expect((await run(["train", "-", "-o", file("none.flow")], "a,b\n")).err).toContain("has no rows, but at least 2");
});

test("a flow without a normalization is sampled as it is, with log p", async () => {
  const velocity = mlp({ dim: 2, hidden: [5] });
  const weights = networkOf(velocity).tensors.map(({ name, size }) => [name, new Float32Array(size)] as const);
  const source = { distribution: "gaussian" } as const;
  await writeFile(file("plain.flow"), saveFlow(velocity, Object.fromEntries(weights), source, undefined));
  const { code, out, err } = await run(["sample", file("plain.flow"), "-n", "3", "--log-prob", "-o", "-"]);
  expect({ code, err }).toMatchObject({ code: 0 });
  const [x1, x2, logProb] = [0, 1, 2].map((column) => numbers(out, column)) as [number[], number[], number[]];
  expect(logProb).toHaveLength(3);
  // weights of 0 move nothing: the density is that of N(0, I)
  for (const [i, value] of logProb.entries())
    expect(value).toBeCloseTo(-Math.log(2 * Math.PI) - ((x1[i] as number) ** 2 + (x2[i] as number) ** 2) / 2, 5);
});

test("notices of the WebGPU implementation are not shown", async () => {
  const words = ["scripts/run.mjs", "dist/cli.js", "sample", file("near.flow"), "-n", "2", "-o", "-"];
  // through a pipe of a shell, as in a terminal: what Node itself makes for a child is a socket
  const { stdout } = await promisify(execFile)("bash", ["-c", '"$0" "$@" 2>&1 | cat', process.execPath, ...words]);
  expect(stdout).toContain("2 rows in");
  expect(stdout).not.toContain("maxDynamic");
});

test("a training that should last longer goes on from the weights of its checkpoint", async () => {
  const state = file("state.safetensors");
  const columns = ["--columns", "east,north"];
  await train("near.csv", "first.flow", ...columns, "--checkpoint", state);
  const refused = await train("near.csv", "first.flow", ...columns, "--checkpoint", state, "--resume", "--steps", "40");
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("--steps is 40 here, but 30 in the checkpoint");
  const longer = await train("near.csv", "longer.flow", "--from", state, "--steps", "40");
  expect({ code: longer.code, output: longer.result.output }).toEqual({ code: 0, output: file("longer.flow") });
  expect(longer.result.heldOut.logLikelihood).toBeGreaterThan(trained.near.result.heldOut.logLikelihood);
});

test("columns that lie in an interval and above zero are learnt there: samples stay inside", async () => {
  const lines = Array.from({ length: rows }, (_, i) => {
    const [x = 0, y = 0] = centred.subarray(2 * i, 2 * i + 2);
    return `${100 / (1 + Math.exp(-x))},${Math.exp(y)}`;
  });
  await writeFile(file("inside.csv"), `share,size\n${lines.join("\n")}\n`);
  const space = ["--transform", "interval:0:100,positive"];
  const { code } = await train("inside.csv", "inside.flow", ...space);
  expect(code).toBe(0);
  const { out } = await run(["sample", file("inside.flow"), "-n", "1e2", "-o", "-"]);
  expect(numbers(out, 0).every((x) => x > 0 && x < 100)).toBe(true);
  expect(numbers(out, 1).every((x) => x > 0)).toBe(true);
  const push = ["push", file("inside.flow"), "-", "-o", "-", "--steps", "40", "--from"];
  const there = await run([...push, "1", "--to", "0"], out);
  const back = await run([...push, "0"], there.out);
  for (const column of [0, 1]) {
    // where samples come from is standard normal
    expect(numbers(there.out, column).every((z) => Math.abs(z) < 6)).toBe(true);
    const [given, carried] = [numbers(out, column), numbers(back.out, column)];
    for (const [i, x] of given.entries()) expect(Math.abs((carried[i] as number) / x - 1)).toBeLessThan(0.01);
  }
  const scored = await run(["log-prob", file("inside.flow"), file("inside.csv"), "--json"]);
  expect(scored.code).toBe(0);
  const outside = await run(["train", file("near.csv"), "-o", file("no.flow"), "-c", "east,north", ...space]);
  expect(outside.err).toMatch(/near\.csv: row \d+ has -?[\d.]+ in "east", but --transform has it between 0 and 100/);
});
