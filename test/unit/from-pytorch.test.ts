import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const plain = (text: string) => text.replace(/\s+/g, " ").trim();

test("the recipes of docs/from-pytorch.md are those that the suite runs on weights from PyTorch", () => {
  const page = readFileSync(new URL("../../docs/from-pytorch.md", import.meta.url), "utf8");
  const suite = plain(readFileSync(new URL("../gpu/from-pytorch.suite.ts", import.meta.url), "utf8"));
  const recipes = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => plain(code ?? ""));
  expect(recipes).toHaveLength(5);
  for (const recipe of recipes) expect(suite).toContain(recipe);
});
