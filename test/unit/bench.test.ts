import { build } from "esbuild";
import { expect, test } from "vitest";
import { faultOf } from "../../bench/check.ts";
import type { Figure, Report } from "../../bench/figure.ts";
import { flopsOf, multiplyAdds, particlesOf } from "../../bench/flops.ts";
import { makeNetwork, reference, works } from "../../bench/networks.ts";
import { median, quantile, spread } from "../../bench/statistics.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { push, timesOf } from "../oracle/ode.ts";
import { row } from "../oracle/vectors.ts";

// the host's scripts are plain JavaScript, so that Node 20 runs them as they are
const load = (name: string): Promise<unknown> => import(`../../bench/${name}.mjs`);
const { compareReports } = (await load("compare")) as {
  compareReports: (a: Report, b: Report) => { work: string; ratio: number; isNoise: boolean }[];
};
const { plotReport } = (await load("plot")) as { plotReport: (report: Report) => string | undefined };
const { withTable } = (await load("readme")) as { withTable: (text: string, report: Report) => string };
const { alignedTable, markdownTable, short } = (await load("table")) as {
  alignedTable: (rows: string[][], heads: string[]) => string;
  markdownTable: (rows: string[][], heads: string[]) => string;
  short: (value: number) => string;
};

const figure = (o: Partial<Figure>): Figure => ({
  suite: "sample",
  work: "some work",
  contender: "pushforward",
  unit: "particles/s",
  median: 100,
  low: 90,
  high: 110,
  rounds: 3,
  ...o,
});

const report = (figures: Figure[]): Report => ({
  schema: 1,
  date: "2026-11-24T00:00:00.000Z",
  commit: "abc1234",
  home: "node",
  quick: true,
  adapter: { vendor: "v", architecture: "a", description: "an adapter", software: true },
  note: "",
  versions: {},
  figures,
  leftOut: [],
});

test("the reference network has 8,512 multiply-adds, its midpoint trajectory of ten steps 340,480 operations", () => {
  expect(multiplyAdds(reference())).toBe(8512);
  expect(flopsOf(works.sample(reference(), 1, "midpoint", 10))).toBe(340_480);
  expect(flopsOf(works.sample(reference(), 7, "euler", 10))).toBe(7 * 170_240);
});

test("an exact divergence of the reference network costs 1.97 times its sampling, a probe half as much again", () => {
  const sample = flopsOf(works.sample(reference(), 1));
  expect(flopsOf(works.likelihood(reference(), 1, "exact")) / sample).toBeCloseTo((1 + 2.94) / 2, 2);
  expect(flopsOf(works.likelihood(reference(), 1, { probe: "rademacher", probes: 1 })) / sample).toBe(1.5);
});

test("a training step is six operations a multiply-add and sample", () => {
  const work = works.train(reference(), 4096, 2);
  expect(particlesOf(work)).toBe(8192);
  expect(flopsOf(work)).toBe(8192 * 6 * 8512);
});

test("medians and quartiles lie between neighbours", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(quantile([0, 10], 0.25)).toBe(2.5);
  expect(spread([5, 1, 3])).toEqual({ median: 3, low: 2, high: 4, rounds: 3 });
  expect(() => median([])).toThrow("empty");
});

test("figures of two reports are paired by suite, work, contender and unit, and told apart from noise", () => {
  const a = report([figure({}), figure({ work: "other" }), figure({ work: "gone" })]);
  const b = report([figure({ median: 150, low: 140, high: 160 }), figure({ work: "other", median: 105 })]);
  const pairs = compareReports(a, b);
  expect(pairs.map(({ work, ratio, isNoise }) => ({ work, ratio, isNoise }))).toEqual([
    { work: "some work", ratio: 1.5, isNoise: false },
    { work: "other", ratio: 1.05, isNoise: true },
  ]);
});

test("numbers are short and tables leave empty columns out", () => {
  expect([0.5, 12.34, 1234, 5.6e7, 2.1e9].map(short)).toEqual(["0.50", "12.3", "1.23 k", "56.0 M", "2.10 G"]);
  const rows = [
    ["a", "", "1"],
    ["bcd", "", "22"],
  ];
  expect(alignedTable(rows, ["x", "y", "z"])).toBe("x    z\na    1\nbcd  22");
  expect(markdownTable(rows, ["x", "y", "z"])).toBe("| x | z |\n| --- | --- |\n| a | 1 |\n| bcd | 22 |");
});

test("the table of an adapter is replaced, another adapter's is kept", () => {
  const first = withTable("text\n<!-- benches end here -->\nmore", report([figure({ median: 100 })]));
  const other = { ...report([figure({ median: 300 })]), home: "deno" as const };
  const both = withTable(first, other);
  const again = withTable(both, report([figure({ median: 500 })]));
  expect(again).toContain("500 particles/s");
  expect(again).toContain("300 particles/s");
  expect(again).not.toContain("100 particles/s");
  expect(again.startsWith("text\n")).toBe(true);
  expect(again.endsWith("<!-- benches end here -->\nmore")).toBe(true);
  expect(() => withTable("nothing", report([]))).toThrow("benches end here");
});

test("a plot needs two points of a contender", () => {
  const at = (n: number) => figure({ work: `3→64→64→64→2 silu, midpoint 10, n = ${n}`, n, width: 64, flops: 1e9 });
  expect(plotReport(report([at(1000)]))).toBeUndefined();
  expect(plotReport(report([at(1000), at(4000)]))).toContain("<path");
});

test("a wrong result is found, a right one is not", () => {
  const shape = makeNetwork(2, [8]);
  const work = works.sample(shape, 9, "midpoint", 3);
  const net = network({ dim: 2, hidden: [8], activation: "silu" }, shape.weights);
  const field = { ...networkField(net), divergence: () => 0 };
  const x = Float32Array.from(
    Array.from({ length: 9 }, (_, p) => [...push(field, row(work.x, 2, p), "midpoint", timesOf(0, 1, 3)).x]).flat(),
  );
  expect(faultOf(work, x)).toBeUndefined();
  expect(
    faultOf(
      work,
      x.map((value: number, i: number) => (i === 17 ? value + 1e-3 : value)),
    ),
  ).toContain("particle 8");
  expect(faultOf(work, new Float32Array(18).fill(Number.NaN))).toContain("f64 gives");
});

test("the programs of the card kit find what they take of the sources", async () => {
  const programs = ["info", "tilings", "ours"].map((name) => `bench/card-kit/${name}.mjs`);
  const { outputFiles } = await build({
    entryPoints: programs,
    bundle: true,
    write: false,
    outdir: "nowhere",
    format: "esm",
    platform: "node",
    external: ["pushforward", "webgpu"],
    logLevel: "silent",
  });
  expect(outputFiles).toHaveLength(programs.length);
});
