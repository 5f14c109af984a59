import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

/** Addresses that a home chooses by conditions of its own: every choice is in one room. */
const conditional: Readonly<Record<string, string>> = {
  "#provider": "src/gpu/provider-node.ts",
  "#threads": "src/workers/threads-node.ts",
  "#matching": "src/transport/matching-node.ts",
};

const files = ["src", "shaders"].flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => posix.join(top, name.replaceAll("\\", "/"))),
);

/** The files of this repository that each file imports, types and what is loaded later among them. */
const imports = new Map(
  files.map((file) => {
    const { importedFiles } = ts.preProcessFile(read(file), true, true);
    const named = importedFiles.map(({ fileName }) =>
      fileName.startsWith(".") ? posix.join(dirname(file), fileName) : conditional[fileName],
    );
    return [file, [...new Set(named.filter((name) => name !== undefined))]] as const;
  }),
);

/** "flow" for src/flow/rows.ts, "options" for src/options.ts and src/options/schema.ts, "shaders" for all shaders. */
function roomOf(file: string): string {
  const [top = "", second = ""] = file.split("/");
  return top === "src" ? second.replace(/\.ts$/, "") : top;
}

/** The number of each room's line in the list of ARCHITECTURE.md. */
function lines(): Map<string, number> {
  const [, list = ""] = /## Import order[\s\S]*?```\n([\s\S]*?)```/.exec(read("ARCHITECTURE.md")) ?? [];
  const rooms = list
    .split("\n")
    .map((line) => /^([\w-]+(?: \| [\w-]+)*)/.exec(line)?.[1]?.split(" | ") ?? [])
    .flatMap((names, at) => names.map((name) => [name, at] as const));
  return new Map(rooms);
}

test("every room has a line in the import order of ARCHITECTURE.md, and every line a room", () => {
  expect(new Set(files.map(roomOf))).toEqual(new Set(lines().keys()));
});

test("imports go down the import order of ARCHITECTURE.md", () => {
  const at = lines();
  const upwards = [...imports].flatMap(([file, targets]) =>
    targets
      .filter((target) => roomOf(target) !== roomOf(file))
      .filter((target) => !((at.get(roomOf(target)) ?? -1) > (at.get(roomOf(file)) ?? Number.POSITIVE_INFINITY)))
      .map((target) => `${file} imports ${target}`),
  );
  expect(upwards).toEqual([]);
});

test("an import of a file that is not there is seen, so none is overlooked", () => {
  const missing = [...imports].flatMap(([file, targets]) =>
    targets.filter((target) => !imports.has(target)).map((target) => `${file} imports ${target}`),
  );
  expect(missing).toEqual([]);
});

test("no files import each other in a circle, not even for types", () => {
  expect(circles(imports)).toEqual([]);
});

test("a circle is found, be it of two files or of four", () => {
  const graph = new Map([
    ["a", ["b", "x"]],
    ["b", ["c"]],
    ["c", ["d"]],
    ["d", ["a"]],
    ["e", ["f", "a"]],
    ["f", ["e"]],
    ["x", []],
  ]);
  expect(circles(graph).map((files) => files.sort().join(""))).toEqual(["abcd", "ef"]);
});

/** Groups of files each of which reaches the others of its group: the strongly connected components (Tarjan 1972). */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const visit = (file: string): number => {
    const own = order.size;
    order.set(file, own);
    lowest.set(file, own);
    open.push(file);
    for (const target of graph.get(file) ?? []) {
      const reached = order.has(target) ? (open.includes(target) ? (order.get(target) ?? own) : own) : visit(target);
      lowest.set(file, Math.min(lowest.get(file) ?? own, reached));
    }
    const low = lowest.get(file) ?? own;
    if (low === own) {
      const group = open.splice(open.indexOf(file));
      if (group.length > 1) found.push(group);
    }
    return low;
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found;
}
