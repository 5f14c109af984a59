import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { toyData } from "../../src/data/toy.ts";
import { inFolder, run } from "./command-line.ts";

/** A toy set as a CSV, `far` from 0. */
function table(name: "moons" | "circles", seed: number, rows: number, far: number): string {
  const data = toyData(name, rows, seed);
  const lines = Array.from({ length: rows }, (_, i) => `${(data[2 * i] ?? 0) + far},${100 * (data[2 * i + 1] ?? 0)}`);
  return `east,north\n${lines.join("\n")}\n`;
}

test("evaluate tells samples of the data from those of another distribution, however far from 0", () =>
  inFolder(async (folder) => {
    const at = (name: string) => join(folder, name);
    await writeFile(at("data.csv"), table("moons", 0, 300, 5e6));
    await writeFile(at("good.csv"), table("moons", 1, 200, 5e6));
    await writeFile(at("bad.csv"), table("circles", 1, 200, 5e6));
    const measures = ["--measures", "w2,sliced-w2,energy,mmd"];
    const [good, bad] = await Promise.all(
      ["good.csv", "bad.csv"].map(async (name) => {
        const { code, out, err } = await run(["evaluate", at("data.csv"), at(name), ...measures, "--json"]);
        expect({ code, err }).toMatchObject({ code: 0 });
        return JSON.parse(out);
      }),
    );
    expect(good).toMatchObject({ rows: [300, 200], compared: 150, skipped: 0 });
    expect(good.columns[0]).toMatchObject({ column: "east" });
    for (const measure of ["w2", "sliced-w2", "energy", "mmd"]) {
      expect(bad.measures[measure].value).toBeGreaterThan(2 * bad.measures[measure].floor);
      expect(good.measures[measure].value).toBeLessThan(bad.measures[measure].value / 2);
    }
    const { out } = await run(["evaluate", at("data.csv"), at("bad.csv"), "--measures", "c2st", "--rows", "60"]);
    expect(out).toMatch(
      /300 rows and 200 rows\n"east": mean .*\n"north": mean .*\nc2st +\d\.\d{4} +floor \d\.\d{4} \(60 rows each\)\n/,
    );
  }));

test.each([
  [["-", "-"], 2, "both files are -"],
  [["-", "x.csv", "--measures", "w3"], 2, "there are w2, sliced-w2, energy, mmd, c2st"],
  [["-", "x.csv", "--rows", "1"], 2, "expected an integer from 2 to 5000"],
])("evaluate %j is refused in words", async (words, status, message) => {
  const { code, err } = await run(["evaluate", ...words], "a,b\n1,2\n");
  expect({ code, err }).toEqual({ code: status, err: expect.stringContaining(message) });
});

test("evaluate says how many rows its measures take before any is measured, and compares what suffices", () =>
  inFolder(async (folder) => {
    const at = join(folder, "few.csv");
    await writeFile(at, table("moons", 0, 7, 0));
    expect(await run(["evaluate", at, at])).toMatchObject({
      code: 1,
      err: expect.stringContaining("at least 8 and 4 are needed: give more rows, or leave c2st out (see --measures)"),
    });
    expect(await run(["evaluate", at, at, "--rows", "3"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--rows is 3, but c2st takes at least 4"),
    });
    const others = await run(["evaluate", at, at, "--measures", "w2,energy"]);
    expect(others).toMatchObject({ code: 0, out: expect.stringContaining("(3 rows each)") });
    await writeFile(at, table("moons", 0, 8, 0));
    expect(await run(["evaluate", at, at])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/c2st .*4 rows each/),
    });
  }));
