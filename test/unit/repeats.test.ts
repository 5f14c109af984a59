import { expect, test } from "vitest";
import { FusedNetwork } from "../../shaders/fused-network.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import { activate, linear } from "../../src/network/builder.ts";
import { network } from "../../src/network/network.ts";
import { networkOf } from "../../src/network/of.ts";
import { type Repeatable, repeats } from "../../src/network/repeats.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import { rowLoops } from "../../src/network/row-loops.ts";

const thing = (text: string, at: number, cost = 1): Repeatable => ({
  text,
  numbers: new Map([[`${text} ${at}`, at]]),
  cost,
});

test("what is done again with numbers that grow by the same each time is a loop", () => {
  const found = repeats([
    thing("in", 0),
    thing("a", 5),
    thing("b", 7),
    thing("a", 15),
    thing("b", 17),
    thing("a", 25),
    thing("b", 27),
  ]);
  expect(found).toMatchObject({ start: 1, period: 2, turns: 3 });
  expect([...found.strides]).toEqual([
    ["a 5", 10],
    ["b 7", 10],
  ]);
});

test("a loop ends where its numbers grow by something else", () => {
  expect(repeats([thing("a", 0), thing("a", 4), thing("a", 8), thing("a", 13)])).toMatchObject({ start: 0, turns: 3 });
});

test("of two loops the one that saves more text is taken", () => {
  const cheap = [thing("a", 0), thing("a", 1), thing("a", 2)];
  const dear = [thing("b", 0, 64), thing("b", 9, 64)];
  expect(repeats([...cheap, ...dear])).toMatchObject({ start: 3, period: 1, turns: 2 });
});

test("a list in which nothing repeats has no loop, nor has one whose numbers grow less than nothing", () => {
  expect(repeats([thing("a", 0), thing("b", 1)])).toMatchObject({ period: 0, turns: 1 });
  expect(repeats([thing("a", 4), thing("a", 0)])).toMatchObject({ period: 0, turns: 1 });
});

const tiling: Tiling = {
  lanes: 4,
  groups: 1,
  outputs: 2,
  gather: 0,
  space: "storage",
  keep: "array",
  workgroupSize: 32,
};
const exact = { count: 2, kind: "basis" } as const;
const fused = (blocks: number) => new FusedNetwork(networkOf(residualMlp({ dim: 2, width: 16, blocks })));

test.each([
  ["the value", undefined],
  ["tangents", exact],
])(
  "the blocks of a residual network are one loop, which has a text for each of its products or shares it (%s)",
  (_, tangents) => {
    const [two, nine] = [fused(2).text(tiling, tangents, true), fused(9).text(tiling, tangents, true)];
    expect(nine).toContain("turn < 9u");
    expect(nine.split("\n").length).toBe(two.split("\n").length);
    // in, the blocks' two, out
    expect(nine.match(/let w0 = /g)).toHaveLength(4);
    const shared = [2, 9].map((blocks) => fused(blocks).text({ ...tiling, sharesProducts: true }, tangents, true));
    expect(shared[1]?.match(/let w0 = /g)).toHaveLength(3);
    expect(shared[1]?.split("\n").length).toBe(shared[0]?.split("\n").length);
  },
);

test("blocks of other widths are written out", () => {
  const field = network({ dim: 2 }, ({ x }) => {
    let h = x;
    for (const width of [8, 12, 16]) h = activate(linear(h, width, `w${width}`), "silu");
    return linear(h, 2, "out");
  });
  const text = new FusedNetwork(networkOf(field)).text({ ...tiling, sharesProducts: true }, undefined, true);
  expect(text).not.toContain("turn");
  expect(text).not.toContain("part");
});

test("the norm of a block goes through its rows twice, with tangents or without: its mean is summed where rows are made", () => {
  for (const tangents of [false, true]) {
    const loops = rowLoops(fused(3).scheduled(true, tangents)).filter((unit) => unit.kind === "loop");
    // three blocks and the last norm
    expect(loops.filter(({ products }) => products.length === 0)).toHaveLength(8);
  }
});

test.each([
  ["the value", undefined],
  ["tangents", exact],
])("a loop over rows that sums is written out where the tiling says so, in the same order (%s)", (_, tangents) => {
  const net = fused(3);
  const [looped, written] = [{}, { unrollsSums: true } as const].map((more) =>
    net.text({ ...tiling, ...more }, tangents, true),
  ) as [string, string];
  // the block's norm and the last one have two loops each, of which one sums
  const loops = (text: string) => text.match(/for \(var row = 0u; row < 16u; row\+\+\)/g);
  expect(loops(looped)).toHaveLength(4);
  expect(loops(written)).toHaveLength(2);
  const read = [...written.matchAll(/let r\d+_0_0 = n0_0_0\[(\d+)u\];/g)].map(([, row]) => Number(row));
  const rows = Array.from({ length: 16 }, (_, row) => row);
  expect(read).toEqual([...rows, ...rows, ...rows, ...rows].slice(0, read.length));
  expect(read.length).toBeGreaterThanOrEqual(32);
});
