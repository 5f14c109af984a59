// The tables of docs/speed.md: made by `npm run bench -- --readme`, one block per home and adapter between two comments.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { cells, markdownTable } from "./table.mjs";

const path = fileURLToPath(new URL("../docs/speed.md", import.meta.url));

/** The suites that a reader chooses a library by. */
const shown = ["sample", "likelihood", "train"];

/** @param {string} text @param {import("./figure.ts").Report} report */
export function withTable(text, report) {
  const name = `${report.adapter.description || report.adapter.vendor}, ${report.home}`;
  const [begin, end] = [`<!-- bench: ${name} -->`, `<!-- end of bench: ${name} -->`];
  const rows = report.figures
    .filter(({ suite, work }) => shown.includes(suite) && !work.endsWith("sampling only"))
    .map(cells);
  const block = [
    begin,
    `**${name}**, ${report.date.slice(0, 10)}, commit ${report.commit}${report.note ? `, ${report.note}` : ""}:`,
    "",
    markdownTable(rows),
    end,
  ].join("\n");
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from >= 0 && to > from) return text.slice(0, from) + block + text.slice(to + end.length);
  const place = text.indexOf("<!-- benches end here -->");
  if (place < 0) throw new Error("docs/speed.md has no <!-- benches end here -->: put it where the tables belong");
  return `${text.slice(0, place)}${block}\n\n${text.slice(place)}`;
}

/** @param {import("./figure.ts").Report} report */
export async function writeReadmeTable(report) {
  await writeFile(path, withTable(await readFile(path, "utf8"), report));
}
