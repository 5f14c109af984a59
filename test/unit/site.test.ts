import { describe, expect, test } from "vitest";
import { drawn, strewn } from "../../site/drawing.ts";
import { programOf } from "../../site/export.ts";
import { parseTable, tableTarget } from "../../site/files.ts";
import { defaults, readAddress, writeAddress } from "../../site/settings.ts";
import { dataOf, dataOfBoth, plane, type Stroke } from "../../site/targets.ts";

const initial = defaults(true);

describe("the address of the page", () => {
  test("keeps every choice that is not the one that the page starts with", () => {
    const settings = { ...initial, network: "residual", width: 64, rate: 0.003, pairs: "independent" } as const;
    const address = writeAddress(settings, initial);
    expect(readAddress(address, initial)).toEqual(settings);
    expect(writeAddress(initial, initial)).toBe("#target=moons");
  });

  test("keeps a drawing to a hundredth of the plane", () => {
    const strokes: Stroke[] = [
      [-4, 4, 0.5, -1.25, 3, 3],
      [1, 1],
    ];
    const read = readAddress(writeAddress({ ...initial, target: { kind: "drawing", strokes } }, initial), initial);
    const { target } = read;
    if (target.kind !== "drawing") throw new Error(`the target is a ${target.kind}`);
    expect(target.strokes.map((stroke) => stroke.length)).toEqual([6, 2]);
    for (const [k, stroke] of strokes.entries())
      for (const [i, value] of stroke.entries())
        expect(Math.abs((target.strokes[k]?.[i] ?? Number.NaN) - value)).toBeLessThan(0.017);
  });

  test("keeps two sets, and trains no likelihood where one of them is the source", () => {
    const set = { kind: "drawing", strokes: [[-4, 4, 0.5, -1.25]] } as const;
    const settings = { ...initial, source: "samples", start: set } as const;
    const address = writeAddress(settings, initial);
    expect(address).toMatch(/target=moons&from-drawing=[\w-]+&source=samples$/);
    const { start, loss } = readAddress(`${address}&loss=likelihood`, initial);
    expect(start.kind === "drawing" && start.strokes[0]?.length).toBe(4);
    expect(loss).toBe("flow-matching");
    const toys = { ...settings, start: { kind: "toy", name: "rings" } } as const;
    expect(readAddress(writeAddress(toys, initial), initial)).toEqual(toys);
    // of a source that is not chosen an address says nothing
    expect(writeAddress({ ...toys, source: "gaussian" }, initial)).toBe("#target=moons");
  });

  test("of nonsense is passed over", () => {
    for (const hash of ["#width=7&layers=x", "#drawing=%%%", "#target=nothing", "#=&&=", "#rate=NaN"])
      expect(readAddress(hash, initial).width).toBe(initial.width);
  });
});

describe("points of a drawing", () => {
  test("lie along its lines, alike by length, and are the same each time", () => {
    const strokes: Stroke[] = [[-3, 0, 3, 0]];
    const points = drawn(strokes, 4001, 1);
    expect(points).toEqual(drawn(strokes, 4001, 1));
    const across = points.filter((_, i) => i % 2 === 1);
    expect(Math.sqrt(across.reduce((sum, y) => sum + y * y, 0) / across.length)).toBeCloseTo(0.11, 2);
    const left = points.filter((x, i) => i % 2 === 0 && x < 0).length / 4001;
    expect(left).toBeCloseTo(0.5, 1);
  });

  test("of a picture are as many as each pixel is dark", () => {
    // top left has no points, bottom right three quarters
    const points = strewn({ width: 2, height: 2, values: Float32Array.of(0, 1, 0, 3) }, 4001, 1);
    let below = 0;
    for (let i = 0; i < points.length; i += 2) {
      expect(points[i]).toBeGreaterThanOrEqual(0);
      if ((points[i + 1] as number) < 0) below++;
    }
    expect(below / 4001).toBeCloseTo(0.75, 1);
  });

  test("are none where nothing is drawn", () => {
    expect(dataOf({ kind: "drawing", strokes: [] }, 100, 10)).toBeUndefined();
  });
});

describe("a table", () => {
  const text = 'name;"a";b\nx;1;2\ny;nothing;3\nz;-1.5e1;4\n';

  test("is read with its columns of numbers, whatever divides them", () => {
    for (const mark of [";", ",", "\t"]) {
      const { columns } = parseTable("t.csv", text.replaceAll(";", mark));
      expect(columns.map(({ name }) => name)).toEqual(["a", "b"]);
    }
    expect(parseTable("t.txt", "1 2\n3 4\n").columns.map(({ values }) => [...values])).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  test("has decimal commas where semicolons divide it, and marks in quotes", () => {
    expect(parseTable("t.csv", "x;y\n1,5;-2,25\n3;4\n").columns.map(({ values }) => [...values])).toEqual([
      [1.5, 3],
      [-2.25, 4],
    ]);
    const { columns } = parseTable("t.csv", '"a, b","say ""c""",d\n"x, y",1,2\nz,3,4\n');
    expect(columns.map(({ name, values }) => [name, ...values])).toEqual([
      ["say c", 1, 3],
      ["d", 2, 4],
    ]);
  });

  test("is in standard deviations where its columns spread unequally or far from 0, and says so", () => {
    const lines = Array.from({ length: 100 }, (_, i) => `${1.7e9 + (i % 2)},${1e-6 * (i % 4)}`);
    const target = tableTarget(parseTable("t.csv", `time,y\n${lines.join("\n")}`), 0, 1);
    if (target.kind !== "table") throw new Error(`the target is a ${target.kind}`);
    expect(target.units).toBe(
      "In standard deviations about the mean: time is 1700000000 ± 0.5, y is 0.0000015 ± 0.000001118.",
    );
    expect([...target.points.subarray(0, 4)].map((value) => value.toFixed(3))).toEqual([
      "-1.000",
      "-1.342",
      "1.000",
      "-0.447",
    ]);
  });

  const valuesOf = (words: string) => parseTable("t.csv", words).columns.map(({ values }) => [...values]);

  test("has decimal commas in quotes and between blanks, and thousands as they are written", () => {
    expect(valuesOf('x,y\n"1,5","-2,25"\n"3,123",4\n')).toEqual([
      [1.5, 3.123],
      [-2.25, 4],
    ]);
    expect(valuesOf("0,5 1,5\n2 -3,5\n")).toEqual([
      [0.5, 2],
      [1.5, -3.5],
    ]);
    expect(valuesOf('x,y\n"1,234",1\n"12,345,678.5",2\n')[0]).toEqual([1234, 12345678.5]);
    expect(valuesOf("x;y\n1,234.5;1\n2,345.25;2\n")[0]).toEqual([1234.5, 2345.25]);
    expect(valuesOf("x;y\n1.234,5;1\n1.234.567,25;2\n999,5;3\n")[0]).toEqual([1234.5, 1234567.25, 999.5]);
    expect(valuesOf("x;y\n1,234;1\n5,678;2\n")[0]).toEqual([1.234, 5.678]);
  });

  test("has names above numbers alone: a first row may have words, or lack a number", () => {
    expect(valuesOf("5.1,3.5,Iris-setosa\n4.9,3,Iris-setosa\n4.7,3.2,Iris-setosa\n")[0]).toEqual([5.1, 4.9, 4.7]);
    expect(valuesOf("1,,3\n2,5,6\n3,7,8\n")).toEqual([
      [1, 2, 3],
      [Number.NaN, 5, 7],
      [3, 6, 8],
    ]);
    expect(valuesOf("NA;1\n2;5\n3;7\n").map((values) => values.length)).toEqual([3, 3]);
    expect(parseTable("t.csv", "time,2020\n1,2\n3,4\n").columns.map(({ name }) => name)).toEqual(["time", "2020"]);
  });

  test("has its marks outside of quotes, and names of R's rows and columns", () => {
    const named = (words: string) => parseTable("t.csv", words).columns.map(({ name, values }) => [name, ...values]);
    expect(named('"a; in m",b\n1,2\n3,4\n')).toEqual([
      ["a; in m", 1, 3],
      ["b", 2, 4],
    ]);
    expect(named('"x" "y"\n"1" 0.5 0.25\n"2" 1.5 2\n')).toEqual([
      ["row", 1, 2],
      ["x", 0.5, 1.5],
      ["y", 0.25, 2],
    ]);
    expect(named("x,y\r1,2\r3,4\r")).toEqual([
      ["x", 1, 3],
      ["y", 2, 4],
    ]);
  });

  test("of numbers whose squares are none is in standard deviations, too", () => {
    for (const size of [1e300, 1e-300, 1e20, 1e-20]) {
      const lines = Array.from({ length: 100 }, (_, i) => `${(i % 2) * size},${(i % 4) * size}`);
      const target = tableTarget(parseTable("t.csv", `x,y\n${lines.join("\n")}`), 0, 1);
      if (target.kind !== "table") throw new Error(`the target is a ${target.kind}`);
      expect([...target.points.subarray(0, 4)].map((value) => value.toFixed(3))).toEqual([
        "-1.000",
        "-1.342",
        "1.000",
        "-0.447",
      ]);
    }
  });

  test("with the same fraction in all rows does not spread, whatever its mean rounds to", () => {
    const table = parseTable("t.csv", `a,b\n${"1,0.1\n2,0.1\n".repeat(70)}`);
    expect(() => tableTarget(table, 0, 1)).toThrow("“b” is 0.1 in all rows");
  });

  test("with a column that does not spread is told in words", () => {
    const table = parseTable("t.csv", `a,b\n${"1,7\n2,7\n".repeat(30)}`);
    expect(() => tableTarget(table, 0, 1)).toThrow("“b” is 7 in all rows, so there is nothing to learn of it");
  });

  test("leaves out rows in which a chosen column is no number", () => {
    const target = tableTarget(parseTable("t.csv", text.replace("e1", "")), 0, 1);
    expect(target.kind === "table" && [...target.points]).toEqual([1, 2, -1.5, 4]);
  });

  test("holds out every fifth row, and all of it is in view", () => {
    const points = Float32Array.from({ length: 202 }, (_, i) => 1000 + Math.sin(i) * 50);
    const data = dataOf({ kind: "table", name: "t", points }, 0, 1000);
    expect([data?.train.length, data?.heldOut.length]).toEqual([160, 42]);
    expect(data?.view.centre.every((value) => Math.abs(value - 1000) < 10)).toBe(true);
  });
});

describe("two sets", () => {
  test("are seen together, wherever they lie", () => {
    const points = Float32Array.from({ length: 202 }, (_, i) => 100 + Math.sin(i) * 50);
    const data = dataOfBoth({ kind: "table", name: "t", points }, { kind: "toy", name: "moons" }, 99, 33);
    if (!data?.start) throw new Error("there are no two sets");
    expect([data.start.train.length, data.start.heldOut.length]).toEqual([198, 66]);
    const { centre, half } = data.view;
    for (const [at, value] of [...points, -plane.half, plane.half].entries())
      expect(Math.abs(value - (centre[at % 2] as number))).toBeLessThanOrEqual(half * 1.0001);
  });

  test("are none while one of them is not drawn", () => {
    const blank = { kind: "drawing", strokes: [] } as const;
    const moons = { kind: "toy", name: "moons" } as const;
    expect(dataOfBoth(moons, blank, 99, 33)).toBeUndefined();
    expect(dataOfBoth(blank, moons, 99, 33)).toBeUndefined();
  });
});

test("the program of a drawing has its points in it, bit for bit", () => {
  const points = drawn([[-1, 0, 1, 0]], 500, 1);
  const data = { train: points, heldOut: points, view: plane };
  const code = programOf({ ...initial, target: { kind: "drawing", strokes: [] } }, data, 256, 1000);
  const [, letters = ""] = /rowsOf\("([^"]*)"\)/.exec(code) ?? [];
  const bytes = Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0));
  expect(new Float32Array(bytes.buffer)).toEqual(points);
});
