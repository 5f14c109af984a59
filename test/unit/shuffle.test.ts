import { expect, test } from "vitest";
import { seedKey } from "../../src/random/philox.ts";
import { shuffledRow } from "../../src/random/shuffle.ts";

const key = seedKey(3);
const passOf = (pass: number, rows: number, of = key) =>
  Array.from({ length: rows }, (_, place) => shuffledRow(place, pass, rows, of));

test("each pass has every row once, in an order of its own", () => {
  for (const rows of [1, 2, 3, 5, 16, 17, 1000]) {
    for (const pass of [0, 1, 2 ** 32 + 5])
      expect([...passOf(pass, rows)].sort((a, b) => a - b)).toEqual(Array.from({ length: rows }, (_, row) => row));
  }
  expect(passOf(0, 100)).not.toEqual(passOf(1, 100));
  expect(passOf(0, 100)).not.toEqual(passOf(0, 100, seedKey(4)));
});

test("a row is as likely at each place, and its neighbour as likely to be any other row", () => {
  const rows = 6;
  const passes = 6000;
  const places = new Float64Array(rows * rows);
  const pairs = new Float64Array(rows * rows);
  for (let pass = 0; pass < passes; pass++) {
    const order = passOf(pass, rows);
    for (const [place, row] of order.entries()) {
      places[place * rows + row] = (places[place * rows + row] ?? 0) + 1;
      const next = order[(place + 1) % rows] ?? 0;
      pairs[row * rows + next] = (pairs[row * rows + next] ?? 0) + 1;
    }
  }
  // six standard deviations
  for (const count of places) expect(Math.abs(count - passes / rows)).toBeLessThan(6 * Math.sqrt(passes / rows));
  for (const [i, count] of pairs.entries()) {
    const wanted = i % (rows + 1) === 0 ? 0 : passes / (rows - 1);
    expect(Math.abs(count - wanted)).toBeLessThanOrEqual(6 * Math.sqrt(wanted));
  }
});
