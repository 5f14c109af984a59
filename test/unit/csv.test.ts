import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type CsvOptions, readCsv, readCsvChunks } from "../../cli/csv.ts";
import { GrowingFile, writeWhole } from "../../cli/files.ts";
import { csvHeader, csvRows, sampleText, shortest } from "../../cli/rows.ts";

const read = (text: string, options?: CsvOptions) => readCsv(Readable.from([Buffer.from(text)]), options);

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pushforward-csv-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("columns are read by name in the order asked for", async () => {
  const { data, columns, rows } = await read("id,lat,lon\na,1,2\nb,3.5,-4e1\n", { columns: ["lon", "lat"] });
  expect(columns).toEqual(["lon", "lat"]);
  expect(rows).toBe(2);
  expect(Array.from(data)).toEqual([2, 1, -40, 3.5]);
});

test("without a choice all columns are read", async () => {
  expect(Array.from((await read("a,b\n1,2\n")).data)).toEqual([1, 2]);
});

test("a byte-order mark, CRLF, quotes, blanks and empty lines do no harm", async () => {
  const { data } = await read('\ufeff"a" , b\r\n"1", 2\r\n\r\n3,"4"\r\n', { columns: ["a", "b"] });
  expect(Array.from(data)).toEqual([1, 2, 3, 4]);
});

test("another delimiter and a file without names are read", async () => {
  const { data, columns } = await read("1;2;3\n4;5;6\n", { delimiter: ";", header: false, columns: ["3", "1"] });
  expect(columns).toEqual(["3", "1"]);
  expect(Array.from(data)).toEqual([3, 1, 6, 4]);
});

test("a missing column names the nearest and all that are there", async () => {
  await expect(read("longitude,latitude\n1,2\n", { columns: ["longtude"] })).rejects.toThrow(
    'no column "longtude": did you mean "longitude"? It has: longitude, latitude.',
  );
});

test("a file without names is recognised when a column is missing", async () => {
  await expect(read("1,2\n3,4\n", { columns: ["x"] })).rejects.toThrow("add --no-header");
});

test("two columns of the asked-for name are an error", async () => {
  await expect(read("x,x\n1,2\n", { columns: ["x"] })).rejects.toThrow('two columns called "x"');
});

test.each([
  ["", "nothing"],
  ["n/a", '"n/a"'],
  ["0x10", '"0x10"'],
  ["NaN", '"NaN"'],
  ["Infinity", '"Infinity"'],
  ["1,5", "two"],
])("the cell %j is refused with its line, column and value", async (cell, got) => {
  const text = `a,b\n1,2\n3,${cell === "1,5" ? "two" : cell}\n`;
  await expect(read(text)).rejects.toMatchObject({
    code: "format",
    message: expect.stringMatching(new RegExp(`line 3 .*${got}.* column "b"`)),
  });
});

test("a number that f32 cannot hold is refused", async () => {
  await expect(read("a\n1e39\n")).rejects.toThrow("range of f32");
});

test("incomplete rows are left out and counted when asked", async () => {
  const { data, rows, skipped } = await read("a,b\n1,2\n,3\nx,4\n5\n6,7\n", { skipInvalid: true });
  expect([rows, skipped]).toEqual([2, 3]);
  expect(Array.from(data)).toEqual([1, 2, 6, 7]);
});

test("an unclosed quote is a format error", async () => {
  await expect(read('a,b\n"1,2\n')).rejects.toMatchObject({ code: "format" });
});

test("an empty file is a format error and a header alone is no rows", async () => {
  await expect(read("")).rejects.toMatchObject({ code: "format" });
  expect((await read("a,b\n")).rows).toBe(0);
});

test("a file that is not there rejects with the system's error", async () => {
  await expect(readCsv(join(tmpdir(), "pushforward-no-such-file.csv"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("chunks follow each other without loss, whatever their size", async () => {
  const values = Array.from({ length: 137 }, (_, i) => i);
  const text = `a\n${values.join("\n")}\n`;
  for (const chunkRows of [1, 7, 136, 137, 138]) {
    const rows: number[] = [];
    for await (const { data } of readCsvChunks(Readable.from([text]), { chunkRows })) rows.push(...data);
    expect(rows).toEqual(values);
  }
});

test("an aborted signal stops the reading with its reason", async () => {
  const signal = AbortSignal.abort(new Error("stop"));
  await expect(read("a\n1\n", { signal })).rejects.toThrow("stop");
});

test("every f32 that is written is read back bit for bit", async () => {
  await fc.assert(
    fc.asyncProperty(fc.float32Array({ noNaN: true, minLength: 1 }), async (values) => {
      const finite = values.filter((v) => Number.isFinite(v));
      const text = csvHeader(["v"]) + csvRows([{ data: finite, width: 1 }], finite.length);
      expect(Array.from((await read(text)).data, (v) => Math.fround(v) + 0)).toEqual(Array.from(finite, (v) => v + 0));
    }),
  );
});

test("numbers are written as short as f32 allows", () => {
  expect(shortest(Math.fround(0.1))).toBe("0.1");
  expect(shortest(-72.5)).toBe("-72.5");
  expect(shortest(Number.NaN)).toBe("NaN");
});

test("samples keep the digits that they have beside their mean, and no more", () => {
  expect(sampleText(0.123456789012345, 0, 1)).toBe("0.123456789");
  expect(sampleText(5_400_000 + 0.0225448765, 5_400_000, 0.1)).toBe("5400000.022544877");
  expect(sampleText(123.456789012345, 100, 20)).toBe("123.456789");
  expect(sampleText(Number.NaN, 0, 1)).toBe("NaN");
  const ownOf = (value: number, mean: number, scale: number) => (value - mean) / scale;
  fc.assert(
    fc.property(
      fc.float({ noNaN: true, noDefaultInfinity: true, min: -30, max: 30 }).filter((x) => Math.abs(x) > 0.05),
      fc.constantFrom([0, 1], [3, 2], [-1e6, 0.5], [1e9, 3], [-1e-7, 1e-9]),
      (x, [mean = 0, scale = 1]) => {
        const value = mean + scale * x;
        const back = ownOf(Number(sampleText(value, mean, scale)), mean, scale);
        // half an f32 of x, or what f64 has left of it beside the mean
        const left = 2 ** -24 * Math.abs(x) + (2 ** -51 * Math.abs(mean)) / scale;
        expect(Math.abs(back - ownOf(value, mean, scale))).toBeLessThanOrEqual(left);
      },
    ),
  );
});

test("text that stands beside numbers is quoted where it must be", () => {
  const text = [
    ["a, b", 'say "hi"', "two\nlines"],
    ["", " blank ", "plain"],
  ];
  const blocks = [{ text }, { data: Float64Array.of(1, 2), width: 1 }];
  expect(csvRows(blocks, 2)).toBe('"a, b","say ""hi""","two\nlines",1\n," blank ",plain,2\n');
});

test("blocks of columns stand side by side", () => {
  const text = csvRows(
    [
      { data: Float32Array.of(1, 2, 3, 4), width: 2 },
      { data: Float32Array.of(5, 6), width: 1 },
    ],
    2,
  );
  expect(text).toBe("1,2,5\n3,4,6\n");
  expect(csvRows([], 0)).toBe("");
});

test("names that need it are quoted", () => {
  expect(csvHeader(["a", 'b"c', "d,e"])).toBe('a,"b""c","d,e"\n');
});

test("a file is written whole, over an older one, and leaves nothing else behind", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out.csv");
    await writeFile(path, "old");
    await writeWhole(path, "new");
    expect(await readFile(path, "utf8")).toBe("new");
    expect(await readdir(folder)).toEqual(["out.csv"]);
  }));

test("a discarded file leaves the older one as it was", () =>
  inFolder(async (folder) => {
    const path = join(folder, "out.csv");
    await writeFile(path, "old");
    const file = await GrowingFile.create(path);
    await file.write("half");
    await file.discard();
    expect(await readFile(path, "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["out.csv"]);
  }));

test("an interrupted file keeps its rows under another name", () =>
  inFolder(async (folder) => {
    const file = await GrowingFile.create(join(folder, "out.csv"));
    await file.write("half");
    expect(await file.keep()).toBe(join(folder, "out.csv.partial"));
    expect(await readdir(folder)).toEqual(["out.csv.partial"]);
  }));

test("the first columns alone are read where the others are not asked for", async () => {
  const table = await read("x,y,city,city\n1,2,Rome,I\n3,4,Oslo,N\n", { first: 2 });
  expect([table.columns, [...table.data]]).toEqual([["x", "y"], [1, 2, 3, 4]]); // biome-ignore format: a row
  await expect(read("x,y,city\n1,2,Rome,3\n", { first: 2 })).rejects.toThrow(/line 2.*4 cells/);
});
