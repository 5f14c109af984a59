import { expect, test } from "vitest";
import { catalog } from "../../shaders/catalog.ts";
import { mostBuffers } from "../../shaders/stages.ts";

test("no kernel has more storage buffers than every adapter allows", () => {
  const buffersOf = (code: string) => code.match(/var<storage/g)?.length ?? 0;
  const found = catalog.map(({ name, kernel }) => ({ name, buffers: buffersOf(kernel().code) }));
  expect(found.filter(({ buffers }) => buffers > mostBuffers)).toEqual([]);
  expect(Math.max(...found.map(({ buffers }) => buffers))).toBe(mostBuffers);
});
