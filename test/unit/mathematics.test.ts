import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const text = readFileSync(new URL("../../docs/mathematics.md", import.meta.url), "utf8");
const [equations = "", sources = ""] = text.split("\n## Sources\n\n");

/** As a reader looks for it: without accents, whatever the case. */
const plain = (line: string) => line.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

test("the sources of the mathematics are a line each, by the names of their authors, and none has strayed", () => {
  const lines = sources.trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(60);
  for (const [i, line] of lines.entries()) {
    const isLast = i === lines.length - 1;
    expect(line, "names, a year, a title; a dot leads to the next line").toMatch(
      isLast ? /^\S.* \d{4}\w?\b.*[^·]$/ : /^\S.* \d{4}\w?\b[^·]* ·$/,
    );
  }
  expect(lines.map(plain)).toEqual(lines.map(plain).sort());
  expect(equations.split("\n").filter((line) => line.endsWith(" ·"))).toEqual([]);
});
