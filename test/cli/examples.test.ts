import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const inShort = (name: string, ...words: string[]) =>
  promisify(execFile)(process.execPath, [`dist/examples/${name}.js`, ...words]);

test("npm run data-to-data tells how far the pushed samples are from fresh ones, and the energy of their paths, also in a folder that it makes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pushforward-examples-"));
  const report = join(folder, "new", "table.md");
  const { stdout } = await inShort("data-to-data", "--steps", "30", "--points", "100", "--report", report);
  const rows = stdout.split("\n").filter((line) => line.includes("→"));
  expect(rows).toHaveLength(4);
  for (const row of rows) expect(row).toMatch(/\| \d+\.\d\d \(\d+\.\d\d\) \| \d+\.\d{3} \| \d\.\d{3} \| \d+ \|$/);
  expect(await readFile(report, "utf8")).toContain(rows.join("\n"));
  await rm(folder, { recursive: true });
}, 60_000);
