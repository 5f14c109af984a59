import { describe, expect, test } from "vitest";
import { particleDraws, reliefNumbers } from "../../src/view/draws.ts";
import { createParticleView } from "../../src/view/entry.ts";
import { type CheckedParticles, type CheckedRelief, checkedPicture } from "../../src/view/picture.ts";

const picture = checkedPicture({ centre: [1, -2], half: 5 });
/** Which draws there are is a matter of numbers: buffers are looked at by none of them. */
const particles = (own: Partial<CheckedParticles>) =>
  ({ count: 100, dim: 2, axes: [0, 1], frames: 1, time: 1, trail: 0, colour: [1, 0, 0], ...own }) as CheckedParticles;
const canvas = { width: 300, height: 200 };
const [perUnit, radius, head, tail, alpha] = [4, 5, 6, 7, 16];

describe("the draws of a set of particles", () => {
  test("are one at rest, at a place between two frames", () => {
    const [draw, ...others] = particleDraws(picture, particles({ frames: 5, time: 0.6 }), canvas);
    expect(others).toEqual([]);
    expect(draw?.frames).toEqual([2, 3, 2, 3]);
    for (const at of [head, tail]) expect(draw?.numbers[at]).toBeCloseTo(0.4, 12);
  });

  test("have the last frame whole at the end, and take one state for all times", () => {
    expect(particleDraws(picture, particles({ frames: 5 }), canvas)[0]).toMatchObject({ frames: [3, 4, 3, 4] });
    expect(particleDraws(picture, particles({ frames: 5 }), canvas)[0]?.numbers[head]).toBe(1);
    const [single] = particleDraws(picture, particles({ time: 0.3 }), canvas);
    expect([single?.frames, single?.numbers[head]]).toEqual([[0, 0, 0, 0], 0]);
  });

  test("of a trail follow on each other, from the oldest to now, each stronger than the one before", () => {
    const draws = particleDraws(picture, particles({ frames: 11, time: 0.5, trail: 0.25 }), canvas);
    const at = (draw: (typeof draws)[number], k: 0 | 2, share: number) =>
      draw.frames[k] + (draw.numbers[share] as number);
    expect(at(draws[0] as never, 2, tail)).toBeCloseTo(2.5, 9);
    for (const [k, draw] of draws.entries()) {
      const next = draws[k + 1];
      if (next === undefined) break;
      expect(at(next, 2, tail)).toBeCloseTo(at(draw, 0, head), 9);
      expect(next.numbers[alpha]).toBeGreaterThan(draw.numbers[alpha] as number);
    }
    expect(at(draws.at(-1) as never, 0, head)).toBeCloseTo(5, 9);
  });

  test("are smaller and fainter the more particles there are, unless that is told", () => {
    const look = (own: Partial<CheckedParticles>) => {
      const numbers = particleDraws(picture, particles(own), canvas)[0]?.numbers ?? [];
      return [numbers[radius] as number, numbers[alpha] as number] as const;
    };
    const [few, many] = [look({ count: 100 }), look({ count: 1_000_000 })];
    expect(many[0]).toBeLessThan(few[0]);
    expect(many[1]).toBeLessThan(few[1]);
    expect(look({ count: 1_000_000, radius: 7, colour: [0, 0, 0, 0.5] })).toEqual([7, 0.5]);
  });

  test("have the shorter side of the canvas as twice the half", () => {
    const [draw] = particleDraws(picture, particles({}), canvas);
    expect(draw?.numbers.slice(0, 5)).toEqual([1, -2, 2 / 300, 2 / 200, 20]);
    const relief = { side: 9, reference: -1, shade: [0, 0, 0], line: [0, 0, 0] } as unknown as CheckedRelief;
    const numbers = reliefNumbers(picture, relief, canvas);
    // the grid is where the picture is
    expect(numbers.slice(12, 20)).toEqual([1, -2, 300, 200, 1, -2, 5, draw?.numbers[perUnit]]);
  });
});

test("what cannot be drawn is told in words", () => {
  const said = (wrong: object) => {
    try {
      checkedPicture(wrong);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  expect(said({ halves: 3 })).toMatch(/no option "halves": did you mean "half"/);
  expect(said({ half: 0 })).toBe("draw: half is 0, but it is positive");
  expect(said({ centre: [1] })).toMatch(/draw: centre is \[1\], but it is two finite numbers: pass \[x, y\]/);
  expect(said({ background: [255, 0, 0] })).toMatch(/numbers from 0 to 1: pass \[red, green, blue\]/);
  expect(said({ particles: {} })).toMatch(/it is a list: pass \[\{ states, count \}\]/);
  expect(said({ particles: [{ count: 3 }] })).toMatch(/particles\[0\]\.states is undefined.*output: "gpu"/);
  expect(said({ particles: [{ states: new Float32Array(6), count: 3 }] })).toMatch(
    /a Float32Array of 6, but it is a GPUBuffer/,
  );
});

test("outside of a browser the module can be imported, and a view says what it needs", async () => {
  await expect(createParticleView({} as never, {} as never)).rejects.toThrow(
    /gpu is an object.*pass what openGpu\(\) gave/,
  );
  const gpu = { device: { createShaderModule: () => undefined } } as never;
  await expect(createParticleView(undefined as never, gpu)).rejects.toThrow(/canvas is undefined.*pass a <canvas>/);
  const other = { getContext: () => null };
  await expect(createParticleView(other, gpu)).rejects.toMatchObject({ code: "unsupported" });
});
