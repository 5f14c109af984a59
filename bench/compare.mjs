// npm run bench:compare -- A.json B.json: how the figures of B stand to those of A, with a mark where the difference is noise.

import { realpathSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { alignedTable, short } from "./table.mjs";

/**
 * Pairs the figures of two reports. A difference is noise while the quartiles overlap.
 * @param {import("./figure.ts").Report} a
 * @param {import("./figure.ts").Report} b
 */
export function compareReports(a, b) {
  const key = (f) => `${f.suite}|${f.work}|${f.contender}|${f.unit}`;
  const before = new Map(a.figures.map((f) => [key(f), f]));
  return b.figures.flatMap((after) => {
    const known = before.get(key(after));
    if (!known) return [];
    const isNoise = after.low <= known.high && known.low <= after.high;
    return [
      {
        suite: after.suite,
        work: after.work,
        contender: after.contender,
        unit: after.unit,
        before: known.median,
        after: after.median,
        ratio: after.median / known.median,
        isNoise,
      },
    ];
  });
}

/** @param {string} path @returns {Promise<import("./figure.ts").Report>} */
async function readReport(path) {
  let report;
  try {
    report = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new Error(
      `${path} cannot be read (${error.message}): pass two files that \`npm run bench -- --json <file>\` wrote`,
    );
  }
  if (report?.schema !== 1 || !Array.isArray(report.figures))
    throw new Error(
      `${path} is no report of the benchmark (schema 1): write one with \`npm run bench -- --json <file>\``,
    );
  return report;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const [first, second, ...more] = process.argv.slice(2);
    if (first === undefined || second === undefined || more.length > 0)
      throw new Error("two files are compared: npm run bench:compare -- before.json after.json");
    const [a, b] = [await readReport(first), await readReport(second)];
    if (a.adapter.description !== b.adapter.description || a.home !== b.home)
      console.log(
        `Beware: ${a.adapter.description} in ${a.home} is compared with ${b.adapter.description} in ${b.home}.`,
      );
    const rows = compareReports(a, b).map((c) => [
      `${c.suite}: ${c.work}`,
      c.contender,
      `${short(c.before)} ${c.unit}`,
      `${short(c.after)} ${c.unit}`,
      `${c.ratio.toFixed(2)}×`,
      c.isNoise ? "noise" : "",
    ]);
    if (rows.length === 0) throw new Error("the two reports have no figure in common");
    console.log(alignedTable(rows, ["work", "who", a.commit, b.commit, "after/before", ""]));
  } catch (error) {
    console.error(`bench:compare: ${error.message}`);
    process.exitCode = 1;
  }
}
