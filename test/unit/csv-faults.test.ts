import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { type CsvOptions, readCsv, readCsvChunks } from "../../cli/csv.ts";
import { faultIn, isMissing } from "../../cli/csv-cell.ts";

type Options = CsvOptions & { needs?: { rows: number; spread: boolean } };
const read = (text: string | Uint8Array, options?: Options) =>
  readCsv(Readable.from([Buffer.from(text as string)]), options);
const forTraining: Options = { needs: { rows: 2, spread: true } };

async function messageOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => {
      throw new Error("nothing was refused");
    },
    (error: unknown) => error,
  );
  expect(error).toMatchObject({ code: expect.stringMatching(/^(format|invalid-argument)$/) });
  return (error as Error).message;
}

test.each([
  ["decimal commas", "x,y\n-0,31,0,96\n", ["line 2 of the CSV has 4 cells, but line 1 has 2 names", "decimal commas?"]],
  ["one decimal comma of two", "x,y\n-0,31,1\n", ["has 3 cells", "decimal commas?"]],
  ["thousands separators", "x,y\n1,234.5,3\n", ["has 3 cells", "thousands separators?"]],
  ["names of rows", "x,y\n1,-0.311,0.957\n", ["sed '1s/^/row,/' data.csv", "--columns x,y"]],
  ["names of rows that are text", "x,y\nMazda,-0.311,0.957\n", ["begin with a name of its row", "--columns x,y"]],
  ["a title", "Station 7 export\n-0.3,10.9,19.5\n", ["is a title", "tail -n +2 data.csv", "--no-header"]],
  ["a title before the names", "Station 7 export\nx,y\n1,2\n", ["line 2", "is a title", "tail -n +2"]],
  ["a title with a comma", "Station 7, export\nx,y,z\n1,2,3\n", ["is a title", "tail -n +2"]],
  ["a comment", "# made by hand\nx,y\n1,2\n", ["lines that begin with # are not", "grep -v '^#'"]],
  ["a comment between rows", "x,y\n1,2\n// note\n3,4\n", ["line 3", "grep -v '^//'"]],
  ["a short row", "x,y,z\n1,2,3\n4,5\n", ["line 3 of the CSV has 2 cells, but line 1 has 3 names", "--skip-invalid"]],
  ["a long row", "x,y\n1,2\n3,4,5\n", ["line 3 of the CSV has 3 cells, but line 1 has 2 names", "in quotes"]],
  ["an empty cell too many in one row", "x,y\n1,2\n3,4,\n", ["line 3 of the CSV has 3 cells"]],
  ["semicolons", "x;y\n0.3;0.9\n", ["--delimiter ';'"]],
  ["semicolons and decimal commas", "x;y\n-0,31;0,96\n", ["--delimiter ';'", "decimal commas"]],
  ["tabs", "x\ty\n0.3\t0.9\n", ["--delimiter tab"]],
  ["bars", "x|y\n0.3|0.9\n", ["--delimiter '|'"]],
  ["blanks", "x y\n0.3 0.9\n", ["--delimiter ' '"]],
  ["a column without name", ",x,y\n0,1,2\n", ["no name for column 1", "row names", "--columns x,y"]],
  ["a column without name in the middle", "x,,y\n0,1,2\n", ["no name for column 2", "--columns x,y"]],
  ["no names", "1,2\n3,4\n", ["line 1 of the CSV is numbers", "--no-header", "--header"]],
  ["no names but a text", "Rome,0.5\nParis,0.7\n", ['has "0.5" where a name is expected', "--no-header"]],
  ["a name twice", "v,w,v\n1,2,3\n", ['two columns called "v", the columns 1 and 3', "line 1", "--columns w"]],
  ["a quote that is not closed", 'x,y\n1,"2\n3,4\n', ["quote", "not closed"]],
  ["a quote within a cell", 'x,y\n1,2\n3,5"2\n', ["line 3", "quote", "twice"]],
  ["quotes about cells between semicolons", 'x;name;y\n1;"a;b";2\n', ["separated by ;", "--delimiter ';'"]],
  ["quotes about names between semicolons", '"x, m";"y"\n1;2\n', ["separated by ;", "--delimiter ';'"]],
  ["quotes about cells between tabs", 'x\tname\n1\t"a"\n', ["separated by a tab", "--delimiter tab"]],
  ["what may be thousands or a decimal comma", 'x,y\n"1,000",1\n"2,000",2\n', ["between thousands"]],
  ["a line of units", "x,y\nm,s\n1,2\n3,4\n", ["Is line 2 another line of names, or one of units?", "sed 2d data.csv"]],
  ["a blank line in a file of one column", "x\n1\n\n2\n", ["line 3 of the CSV has nothing"]],
])("a file with %s is refused with what is wrong and what to do", async (_, text, parts) => {
  for (const message of [await messageOf(read(text, forTraining))])
    for (const part of parts) expect(message).toContain(part);
});

test("a stream of chunks refuses what a whole table refuses", async () => {
  const drain = async (text: string) => {
    for await (const _ of readCsvChunks(Readable.from([text])));
  };
  expect(await messageOf(drain("x,y\n-0,31,0,96\n"))).toContain("has 4 cells");
  expect(await messageOf(drain("x;y\n0.3;0.9\n"))).toContain("--delimiter ';'");
  expect(await messageOf(drain("x,y\n1,2\n3,−4\n"))).toContain("U+2212");
});

test.each([
  ["a delimiter at the end of every line", "a,b,\n1,2,\n3,4,\n"],
  ["a delimiter at the end of the rows alone", "a,b\n1,2,\n3,4,\n"],
  ["quoted numbers", '"a","b"\n"1","2"\n"3","4"\n'],
  ["blanks around cells", " a , b \n 1 , 2 \n 3 ,\t4 \n"],
  ["blank lines", "\na,b\n\n1,2\n   \n3,4\n\n\n"],
  ["line ends of three kinds", "a,b\r\n1,2\n3,4\r"],
  ["a byte-order mark", "\ufeffa,b\n1,2\n3,4\n"],
  ["a plus sign and exponents", "a,b\n+1,2e0\n.3e1,400E-2\n"],
])("%s are read as they are meant", async (_, text) => {
  const { data, columns } = await read(text);
  expect(columns).toEqual(["a", "b"]);
  expect(Array.from(data)).toEqual([1, 2, 3, 4]);
});

test("a cell behind the delimiter at the end of the lines is not dropped", async () => {
  expect(await messageOf(read("a,b,\n1,2,\n3,4,5\n"))).toContain("line 3");
  expect(await messageOf(read("a,b\n1,2,\n3,4,5\n"))).toContain("line 3");
});

test("numbers keep the digits of f64", async () => {
  const { data } = await read("north\n5400000.0957\n5400000.1391\n");
  expect(Array.from(data)).toEqual([5400000.0957, 5400000.1391]);
});

test("names that are numbers are taken when --header says so", async () => {
  const { data, columns } = await read("0,1\n3,4\n", { header: true });
  expect([columns, Array.from(data)]).toEqual([
    ["0", "1"],
    [3, 4],
  ]);
});

const bytes = (text: string) => Buffer.from(text, "latin1");
test.each<[string, Uint8Array, string]>([
  [
    "gzip",
    gzipSync("x,y\n1,2\n"),
    "is compressed by gzip, but a CSV is expected: unpack it (zcat data.csv | pushforward … - …)",
  ],
  ["zstd", bytes("\x28\xb5\x2f\xfd\x24\x08"), "zstdcat data.csv"],
  ["bzip2", bytes("BZh91AY&SY"), "bzcat data.csv"],
  ["xz", bytes("\xfd7zXZ\0\0\x04"), "xzcat data.csv"],
  ["Excel", bytes("PK\x03\x04\x14\0"), "workbook of Excel"],
  ["Parquet", bytes("PAR1\x15\x04"), "Parquet"],
  ["Arrow", bytes("ARROW1\0\0"), "Arrow"],
  ["NumPy", bytes("\x93NUMPY\x01\0"), "NumPy"],
  ["a flow", bytes('\x40\0\0\0\0\0\0\0{"net.0":1}'), "safetensors"],
  ["JSON", bytes('[{"x": 1}]'), "JSON"],
  ["HTML", bytes("<!DOCTYPE html><html>"), "HTML"],
  ["UTF-16 with a mark", Buffer.from("\ufeffx,y\n1,2\n", "utf16le"), "iconv -f UTF-16 -t UTF-8 data.csv"],
  ["UTF-16 without a mark", Buffer.from("x,y\n1,2\n3,4\n", "utf16le"), "UTF-16"],
  ["Windows-1252", bytes("city,x\nRome,1\nZ\xfcrich,2\n"), "line 3 of the CSV has a byte that is no UTF-8"],
  ["a byte of value 0", bytes("x,y\n1,2\n3,\0\n"), "line 3 holds a byte of value 0"],
])("a file of %s is refused by its kind, and no byte of it is shown", async (_, content, part) => {
  const message = await messageOf(read(content));
  expect(message).toContain(part);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal
  expect(message).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffd]/);
});

test("a name that begins like another kind of file is a name", async () => {
  expect((await read("ORC,PAR1\n1,2\n")).columns).toEqual(["ORC", "PAR1"]);
});

test.each([
  ["−0.31", "the minus sign U+2212"],
  ["–0.31", "a dash instead of a minus sign (U+2013)"],
  ["1\u00a0234", "a non-breaking space (U+00A0)"],
  ["1\u202f234,5", "a non-breaking space (U+202F)"],
  ["1’234", "an apostrophe"],
  ["\u200b5", "an invisible sign (U+200B)"],
  ["0x1A", "hexadecimal"],
  ["1e400", "beyond the range of f32"],
  ["-1e39", "beyond the range of f32"],
  ["1,234.5", "thousands separators"],
  ["1,234,567", "thousands separators"],
  ["1,234", "decimal comma or thousands separator"],
  ["0,31", "decimal comma"],
  ["-,5", "decimal comma"],
  ["1.234,5", "decimal comma"],
  ["1 234", "blanks"],
  ["12%", "percentage"],
  ["$3", "money"],
  ["3 €", "money"],
  ["-£3.50", "money"],
  ["(12.5)", "brackets"],
  ["12 km", "letters behind it"],
  ["٣٫٥", "digits other than 0 to 9"],
  ["true", "truth value"],
  ["2024-01-05", "a date"],
  ["05/01/2024", "a date"],
  ["2024-01-05T12:30:00Z", "a date"],
  ["5 Jan 2024", "a date"],
  ["12:30", "a time of day"],
  ["inf", "infinite"],
  ["shipped", "text"],
  ["A-1001", "text"],
  ["Jean-Luc’s", "text"],
])("the cell %j is told to be %s", (cell, kind) => {
  expect(faultIn(cell).kind).toContain(kind);
});

test.each(["", "NA", "N/A", "#N/A", "NaN", "nan", "-nan", "null", "NULL", "None", "-", "--", "?", ".", "—"])(
  "the cell %j is a missing value",
  async (cell) => {
    expect(isMissing(cell)).toBe(true);
    const { rows, skipped } = await read(`a,b\n1,2\n${cell},3\n4,5\n`, { skipInvalid: true });
    expect([rows, skipped]).toEqual([2, 1]);
  },
);

const orders = `order_id,number,date,city,price,quantity,discount,paid,flag,"weight, net"
${Array.from({ length: 20 }, (_, i) => `A-${i},${i + 100},2024-01-${10 + i},Rome,${(i * 7) % 11}.5,${(i * i) % 5},${i % 4 === 0 ? "" : i},true,0,${i / 3}`).join("\n")}\n`;

test("columns of ids are left out of what is proposed, and told where they stand among numbers", async () => {
  const lines = Array.from(
    { length: 9 },
    (_, i) => `${100 + 7 * i},${i % 3 === 0 ? 5 : 900 + ((i * i) % 11)},${i / 7},${(i * i) % 5},t`,
  );
  const table = (end: number) =>
    [`code,customer_id,x,grid,note`, ...lines].map((line) => line.split(",").slice(0, end).join(",")).join("\n");
  const message = await messageOf(read(table(5), forTraining));
  expect(message).toContain('(without "code", "customer_id", which only number rows or things)');
  expect(message).toContain("--columns x,grid");
  const { survey } = await read(table(4), forTraining);
  expect(survey.labels).toEqual(["code", "customer_id"]);
});

test("whole numbers that f64 takes for one are told as such", async () => {
  const message = await messageOf(read("id,x\n12345678901234567890,1\n12345678901234567891,2\n", forTraining));
  expect(message).toContain("12345678901234567890, which are too long to be told apart");
  expect(message).toContain("--columns x");
});

test("a table from life is refused with all columns that stand in the way, and the options to copy", async () => {
  const message = await messageOf(read(orders, forTraining));
  for (const line of [
    '"order_id": "A-0" in line 2 is text (such in all 20 rows)',
    '"date": "2024-01-10" in line 2 is a date (such in all 20 rows)',
    '"city": "Rome" in line 2 is text (such in all 20 rows)',
    '"discount": misses values in 5 of 20 rows, first in line 2',
    '"paid": "true" in line 2 is a truth value (such in all 20 rows)',
    '"flag": is 0 in all 20 rows',
    `  --columns 'price,quantity,"weight, net"'\n`,
    `15 of 20 rows:\n  --columns 'price,quantity,discount,"weight, net"' --skip-invalid`,
    'without "number", which only numbers rows or things',
    "make numbers of dates",
    "write 1 and 0",
  ])
    expect(message).toContain(line);
  expect(message.match(/--skip-invalid/g)).toHaveLength(1);
});

test("a column is text where one of its cells is, whatever the first ones look like", async () => {
  const kinds = ["y", "n", "2024-01-10", "t", "x", "z"];
  const rows = Array.from({ length: 12 }, (_, i) => `${i / 7},${kinds[i % 6]},${i % 2 ? "yes" : "no"}`);
  const message = await messageOf(read(`a,kind,paid\n${rows.join("\n")}\n`, forTraining));
  expect(message).toContain('"kind": "x" in line 6 is text (such in all 12 rows)');
  expect(message).toContain('"paid": "no" in line 2 is a truth value (such in all 12 rows)');
  expect(message).toContain('To use "paid", write 1 and 0');
});

test("leaving out rows does not hide that a column leaves none", async () => {
  const message = await messageOf(read(orders, { ...forTraining, skipInvalid: true }));
  expect(message).toContain("--skip-invalid leaves 0 of 20 rows of the CSV");
  expect(message).toContain('"city"');
  expect(message).toContain(`--columns 'price,quantity,"weight, net"'`);
});

test("a constant column is named with the columns to choose instead", async () => {
  const message = await messageOf(read("a,b,flag\n1,2,0\n2,1,0\n5,3,0\n", forTraining));
  expect(message).toContain('"flag": is 0 in all 3 rows');
  expect(message).toContain("--columns a,b");
  expect((await read("a,flag\n1,0\n2,0\n")).rows).toBe(2);
});

test("rows that were left out are counted by their columns", async () => {
  const { survey, skipped } = await read("a,b\n1,2\n,3\nx,4\n5\n6,7\n8,NA\n9,9\n9,9\n", { skipInvalid: true });
  expect(skipped).toBe(4);
  expect(survey.reasons()).toBe('"a": 2, "b": 1, another number of cells: 1');
});

test("rows of another length are no rows to leave out when most of the file is so", async () => {
  const text = "x,y\n-0,31,0,96\n1,2\n0,5,0,7\n";
  expect(await messageOf(read(text, { skipInvalid: true }))).toContain("decimal commas?");
});

test("a file that lacks numbers for another reason than its columns says how to mend all of it", async () => {
  const message = await messageOf(read("x;y\n0,5;1\n0,7;2,5\n", { delimiter: ";" }));
  expect(message).toContain(
    "write decimal points instead of commas (tr , . < data.csv | pushforward … - --delimiter ';' …)",
  );
});

test("the text of all cells and the numbers of rows are kept when asked for", async () => {
  const text = 'id,x,note,y\n007,1,"a, b",2\nc,,n,1\nd,0,"say ""hi""",1\n';
  const {
    names,
    text: cells,
    numbers,
    columns,
  } = await read(text, {
    columns: ["x", "y"],
    text: true,
    skipInvalid: true,
  });
  expect(names).toEqual(["id", "x", "note", "y"]);
  expect(columns).toEqual(["x", "y"]);
  expect(cells).toEqual([
    ["007", "1", "a, b", "2"],
    ["d", "0", 'say "hi"', "1"],
  ]);
  expect(numbers).toEqual([1, 3]);
});
