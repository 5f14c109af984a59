import { build } from "esbuild";
import { expect, test } from "vitest";
// @ts-expect-error: the build scripts are JavaScript without declarations
import { smallShaders } from "../../scripts/browser-bundle.mjs";
import type { CatalogEntry } from "../../shaders/catalog/entry.ts";
import type { drawings } from "../../shaders/catalog.ts";

/** Name and text of every shader. */
async function catalog(plugins: { name: string }[]): Promise<(readonly [name: string, code: string])[]> {
  const { outputFiles } = await build({
    entryPoints: ["shaders/catalog.ts"],
    bundle: true,
    format: "esm",
    write: false,
    plugins: plugins as never,
  });
  const text = outputFiles[0]?.text ?? "";
  const all: { catalog: readonly CatalogEntry[]; drawings: typeof drawings } = await import(
    `data:text/javascript;base64,${Buffer.from(text).toString("base64")}`
  );
  return [
    ...all.catalog.map(({ name, kernel }) => [name, kernel().code] as const),
    ...all.drawings.map(({ name, drawing }) => [name, drawing().code] as const),
  ];
}

/** WGSL without comments and without the spaces that separate nothing. */
const essence = (code: string) =>
  code
    .replace(/\/\/.*$/gm, "")
    .replace(/\s+/g, " ")
    .replace(/ ?([^\w+\-/& ]) ?/g, "$1")
    .trim();

test("the shaders of the browser bundle are those of the library but for comments and spaces", async () => {
  const [whole, small] = await Promise.all([catalog([]), catalog([smallShaders])]);
  const wanted = new Map(whole);
  expect(wanted.size).toBeGreaterThan(50);
  for (const [name, code] of small) {
    expect(code, name).not.toMatch(/\/\/|#/);
    expect(essence(code), name).toBe(essence(wanted.get(name) ?? ""));
  }
});
