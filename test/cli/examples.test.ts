import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const inShort = (name: string, ...words: string[]) =>
  promisify(execFile)(process.execPath, [`dist/examples/${name}.js`, ...words]);

test("npm run data-to-data tells how far the pushed samples are from fresh ones, and the energy of their paths", async () => {
  const { stdout } = await inShort("data-to-data", "--steps", "30", "--points", "100");
  const rows = stdout.split("\n").filter((line) => line.includes("→"));
  expect(rows).toHaveLength(4);
  for (const row of rows) expect(row).toMatch(/\| \d+\.\d\d \(\d+\.\d\d\) \| \d+\.\d{3} \| \d\.\d{3} \| \d+ \|$/);
}, 60_000);
