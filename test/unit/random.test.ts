import { describe, expect, test } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import {
  normalPair,
  normals,
  philox,
  randomIndex,
  seedKey,
  streams,
  uniform01,
  uniforms,
} from "../../src/random/philox.ts";

function words(counter: readonly [number, number, number, number], key: readonly [number, number]): string {
  const out = new Uint32Array(4);
  philox(...counter, key, out);
  return Array.from(out, (word) => word.toString(16).padStart(8, "0")).join(" ");
}

const ulp = (x: number) => 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), -126) - 23);

function momentsOf(values: Float32Array) {
  const n = values.length;
  const mean = values.reduce((sum, v) => sum + v, 0) / n;
  let [m2, m3, m4] = [0, 0, 0];
  for (const v of values) {
    const d = v - mean;
    m2 += d ** 2 / n;
    m3 += d ** 3 / n;
    m4 += d ** 4 / n;
  }
  return { mean, variance: m2, skewness: m3 / m2 ** 1.5, kurtosis: m4 / m2 ** 2 };
}

describe("philox4x32-10", () => {
  test("gives the known answers of its authors", () => {
    const all = 0xffffffff;
    expect(words([0, 0, 0, 0], [0, 0])).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
    expect(words([all, all, all, all], [all, all])).toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
    expect(words([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])).toBe(
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    );
  });

  test("a seed beyond 32 bits reaches both words of the key", () => {
    expect(seedKey(0)).toEqual([0, 0]);
    expect(seedKey(2 ** 53 - 1)).toEqual([0xffffffff, 0x1fffff]);
    expect(seedKey(5 * 2 ** 32 + 3)).toEqual([3, 5]);
  });

  test.each([-1, 1.5, 2 ** 53, Number.NaN, "7"])("the seed %s is refused with what a seed is", (seed) => {
    expect(() => seedKey(seed as number)).toThrow(PushforwardError);
    expect(() => seedKey(seed as number)).toThrow(/an integer from 0 to 2\^53 - 1: pass for example seed: 7/);
  });

  test("no two uses share a stream", () => {
    expect(new Set(Object.values(streams)).size).toBe(Object.keys(streams).length);
  });
});

describe("uniforms and indices", () => {
  test("uniforms lie in (0, 1]: the least word gives 2^-24, the greatest exactly 1", () => {
    expect(uniform01(0)).toBe(2 ** -24);
    expect(uniform01(0xffffffff)).toBe(1);
  });

  test("randomIndex is the high word of the exact 64-bit product", () => {
    const bits = new Uint32Array(4);
    for (let i = 0; i < 501; i++) {
      philox(i, 0, 0, 0, [3, 4], bits);
      const [a = 0, b = 0, c = 0] = bits;
      for (const n of [1, 2, 7, b >>> 12, b, 0xffffffff]) {
        expect(randomIndex(a, n)).toBe(Number((BigInt(a) * BigInt(n)) >> 32n));
      }
      expect(randomIndex(0xffffffff, (c >>> 0) + 1)).toBe(c);
    }
  });

  test("indices of 10 rows are taken equally often, within four standard errors", () => {
    const n = 100_003;
    const counts = new Array<number>(10).fill(0);
    const bits = new Uint32Array(4);
    for (let i = 0; i < n; i++) {
      philox(i, 0, 0, streams.batchIndex, seedKey(1), bits);
      const k = randomIndex(bits[0] ?? 0, 10);
      counts[k] = (counts[k] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - n / 10)).toBeLessThan(4 * Math.sqrt(n * 0.09));
  });

  test("uniforms have mean 1/2 and variance 1/12, and their halves do not correlate", () => {
    const values = uniforms(seedKey(11), streams.source, 0, 50_001, 2);
    const { mean, variance } = momentsOf(values);
    // standard errors: sqrt(1/12/N), sqrt((1/80 - 1/144)/N)
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / values.length));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(4 * Math.sqrt(0.0056 / values.length));
    let product = 0;
    for (let i = 0; i < 50_001; i++) product += ((values[2 * i] ?? 0) - 0.5) * ((values[2 * i + 1] ?? 0) - 0.5);
    expect(Math.abs((product / 50_001) * 12)).toBeLessThan(4 / Math.sqrt(50_001));
  });
});

describe("normals", () => {
  test("agree with Box–Muller in f64 within 4 units in the last place", () => {
    // 4 ulp: two roundings in the sine, one each in logarithm, root and product, some of them shared
    const key = seedKey(99);
    const n = 30_001;
    const values = normals(key, streams.source, 0, n, 4);
    const bits = new Uint32Array(4);
    let worst = 0;
    for (let i = 0; i < n; i++) {
      philox(i, 0, 0, streams.source, key, bits);
      for (const pair of [0, 1]) {
        const radius = Math.sqrt(-2 * Math.log(uniform01(bits[2 * pair] ?? 0)));
        // a sine through the quadrant: 2πv in f64 alone would lose digits near its zeros
        const angle = (bits[2 * pair + 1] ?? 0) >>> 8;
        const quarter = Math.round(angle / 2 ** 22);
        const rest = ((angle - quarter * 2 ** 22) * Math.PI) / 2 ** 23;
        const [c, s] = [Math.cos(rest), Math.sin(rest)];
        const cosine = [c, -s, -c, s][quarter % 4] ?? 0;
        const sine = [s, c, -s, -c][quarter % 4] ?? 0;
        for (const [lane, exact] of [radius * cosine, radius * sine].entries()) {
          if (exact === 0) continue;
          const got = values[4 * i + 2 * pair + lane] ?? 0;
          worst = Math.max(worst, Math.abs(got - exact) / ulp(exact));
        }
      }
    }
    expect(worst).toBeLessThan(4);
  });

  test("have the moments of N(0, 1) and uncorrelated lanes, within four standard errors", () => {
    const n = 60_001;
    const values = normals(seedKey(7), streams.source, 0, n, 4);
    const { mean, variance, skewness, kurtosis } = momentsOf(values);
    const N = values.length;
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(N));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / N));
    expect(Math.abs(skewness)).toBeLessThan(4 * Math.sqrt(6 / N));
    expect(Math.abs(kurtosis - 3)).toBeLessThan(4 * Math.sqrt(24 / N));
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [1, 3],
      [2, 3],
    ] as const) {
      let product = 0;
      let squares = 0;
      for (let i = 0; i < n; i++) {
        const [x, y] = [values[4 * i + a] ?? 0, values[4 * i + b] ?? 0];
        product += x * y;
        squares += (x * x - 1) * (y * y - 1);
      }
      expect(Math.abs(product / n)).toBeLessThan(4 / Math.sqrt(n));
      // the variance of (x² − 1)(y² − 1) is 4
      expect(Math.abs(squares / n)).toBeLessThan(8 / Math.sqrt(n));
    }
  });

  test("the greatest radius is the square root of 48 ln 2 and u = 1 gives a normal of nearly nothing", () => {
    const exact = Math.sqrt(48 * Math.LN2);
    expect(Math.abs(normalPair(0, 0)[0] - exact)).toBeLessThan(1e-6);
    expect(Math.abs(normalPair(0xffffffff, 0)[0])).toBeLessThan(1e-14);
  });

  test("seeds, streams and neighbours do not correlate", () => {
    const n = 40_001;
    const base = normals(seedKey(1), 0, 0, n, 1);
    const others = [normals(seedKey(2), 0, 0, n, 1), normals(seedKey(1), 1, 0, n, 1), normals(seedKey(1), 0, 1, n, 1)];
    for (const other of others) {
      let product = 0;
      for (let i = 0; i < n; i++) product += (base[i] ?? 0) * (other[i] ?? 0);
      expect(Math.abs(product / n)).toBeLessThan(4 / Math.sqrt(n));
    }
  });
});

describe("rows of draws", () => {
  const kinds = { normals, uniforms };
  test.each(Object.entries(kinds))("%s of a particle do not depend on where the chunk starts", (_name, draw) => {
    const key = seedKey(123456789012345);
    const whole = draw(key, 3, 0, 65, 5);
    expect(draw(key, 3, 17, 9, 5)).toEqual(whole.slice(17 * 5, 26 * 5));
  });

  test.each(Object.entries(kinds))("%s cross the 32-bit border of the particle index", (_name, draw) => {
    const key = seedKey(4);
    const first = 2 ** 32 - 2;
    const rows = draw(key, 0, first, 4, 37);
    const third = rows.slice(2 * 37, 3 * 37);
    expect(third).toEqual(draw(key, 0, 2 ** 32, 1, 37));
    expect(third).not.toEqual(draw(key, 0, 0, 1, 37));
  });

  test("a longer row begins with the shorter one, and firstDraw skips whole blocks", () => {
    const key = seedKey(8);
    expect(normals(key, 0, 0, 1, 7)).toEqual(normals(key, 0, 0, 1, 11).slice(0, 7));
    expect(normals(key, 0, 0, 1, 3, 1)).toEqual(normals(key, 0, 0, 1, 7).slice(4));
  });

  test("a value has the same bits however many its row has", () => {
    const all = normals(seedKey(9), streams.source, 0, 500, 4);
    for (const perParticle of [1, 2, 3]) {
      const some = normals(seedKey(9), streams.source, 0, 500, perParticle);
      expect(some).toEqual(all.filter((_, i) => i % 4 < perParticle));
    }
  });

  test("an empty request is an empty array", () => {
    expect(normals(seedKey(0), 0, 0, 0, 5)).toHaveLength(0);
  });
});
