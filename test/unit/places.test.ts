import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { strayShare } from "../../examples/stray.ts";
import { boundaryOf, outlineOf, pointsOutside } from "../../examples/us-outline.ts";
import { loadFlow } from "../../src/flow/file.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import { decodeSafetensors } from "../../src/io/safetensors.ts";

test("points farther than the distance from every row are strays, across cell borders and below zero", () => {
  const data = Float32Array.of(-0.1, -0.1, 10, 10);
  const points = Float32Array.of(0.3, 0.1, -0.1, -0.7, 10.4, 10.4, 9.9, 10.1, 50, 50);
  // Distances 0.45, 0.6, 0.57, 0.14 and far.
  expect(strayShare(points, data, 0.5)).toBeCloseTo(3 / 5, 12);
});

test("the share of strays agrees with a direct search", () => {
  const at = (i: number, scale: number) => ((i * 7919) % 1009) / scale;
  const data = Float32Array.from({ length: 202 }, (_, i) => at(i, 100));
  const points = Float32Array.from({ length: 606 }, (_, i) => at(i + 5, 90) - 1);
  let stray = 0;
  for (let i = 0; i < points.length; i += 2) {
    let near = false;
    for (let j = 0; j < data.length; j += 2) {
      near ||= ((data[j] ?? 0) - (points[i] ?? 0)) ** 2 + ((data[j + 1] ?? 0) - (points[i + 1] ?? 0)) ** 2 <= 0.25;
    }
    if (!near) stray++;
  }
  expect(strayShare(points, data, 0.5)).toBe(stray / (points.length / 2));
});

test("no points stray nowhere", () => {
  expect(strayShare(new Float32Array(0), Float32Array.of(1, 2), 1)).toBe(0);
});

test("an outline decodes each used arc once, whichever way the states go round it", () => {
  const lines = outlineOf({
    transform: { scale: [0.5, 2], translate: [-100, 40] },
    arcs: [
      [
        [2, 1],
        [2, -1],
      ],
      [[0, 0]],
      [[9, 9]],
    ],
    objects: { states: { geometries: [{ arcs: [[0, 1]] }, { arcs: [[[~0]]] }, {}] } },
  });
  expect(lines.map((line) => Array.from(line))).toEqual([
    [-99, 42, -98, 40],
    [-100, 40],
  ]);
});

test("the boundary is the arcs of one state alone, and points are outside it by the even-odd rule", () => {
  // two unit squares side by side; the arc between them is shared
  const boundary = boundaryOf({
    transform: { scale: [1, 1], translate: [0, 0] },
    arcs: [
      [
        [1, 0],
        [0, 1],
      ],
      [
        [1, 1],
        [-1, 0],
        [0, -1],
        [1, 0],
      ],
      [
        [1, 0],
        [1, 0],
        [0, 1],
        [-1, 0],
      ],
    ],
    objects: { states: { geometries: [{ arcs: [[0, 1]] }, { arcs: [[2, ~0]] }] } },
  });
  expect(boundary.length).toBe(2);
  const points = Float32Array.of(0.5, 0.5, 1.5, 0.25, 1, 0.5, 2.5, 0.5, 0.5, -0.25, -7, 0.5);
  expect([...pointsOutside(points, boundary)]).toEqual([2.5, 0.5, 0.5, -0.25, -7, 0.5]);
  expect(pointsOutside(new Float32Array(0), boundary).length).toBe(0);
});

test("the flow that is shipped is of the recipe, in a file of 80 kB at most", () => {
  const bytes = readFileSync(fileURLToPath(new URL("../../examples/us-places.safetensors", import.meta.url)));
  expect(bytes.length).toBeLessThanOrEqual(80_000);
  const { velocity, source, normalization } = loadFlow(bytes);
  expect(velocity).toMatchObject({ dim: 2, hidden: [64, 64, 64], activation: "sin" });
  expect(sourceSpec(source, 2)).toMatchObject({
    kind: "mixture",
    parts: decodeSafetensors(bytes).tensors["source.weights"]?.shape[0],
  });
  expect(normalization?.mean[0]).toBeCloseTo(-91, -1);
});
