import { expect, test } from "vitest";
import { convertPrediction, type Prediction } from "../../src/path/conversions.ts";
import { checkPath, type PathName, paths, polynomialPath } from "../../src/path/paths.ts";

// target N(.8, .25), x = .9: x̂_1, x̂_0, s, u
const digits: [PathName, number, number[]][] = [
  ["conditional-optimal-transport", 0.3, [0.8965853659, 0.9014634146, -1.287804878, -0.0048780488]],
  ["cosine", 0.3, [0.8720664591, 0.5657535593, -0.6349600636, 0.8170813822]],
  ["linear-variance-preserving", 0.7, [0.8940711462, 0.3838870618, -0.5375494071, 0.5177865613]],
  ["variance-preserving", 0.7, [0.8887685533, 0.4382153129, -0.5640127279, 1.0197213707]],
];
const kinds: Prediction[] = ["x1", "x0", "score", "velocity"];

for (const [path, t, values] of digits) {
  test(`all conversions agree with the digits of a Gaussian target: ${path}`, () => {
    for (const [i, from] of kinds.entries()) {
      for (const [j, to] of kinds.entries()) {
        const [got = 0] = convertPrediction(Float32Array.of(values[i] ?? 0), Float32Array.of(0.9), t, {
          from,
          to,
          path,
        });
        // f32 in and out; the largest factor between two of them is 3
        expect(Math.abs(got - (values[j] ?? 0))).toBeLessThan(1e-6);
      }
    }
  });
}

test("the variance-preserving path has the coefficients of the table", () => {
  const { alpha, sigma, dAlpha, dSigma } = paths["variance-preserving"];
  const got = [alpha, sigma, dAlpha, dSigma].map((f) => f(0.7));
  for (const [i, wanted] of [0.6295500003, 0.7769599713, 1.910684251, -1.548176631].entries())
    expect(got[i]).toBeCloseTo(wanted, 9);
  expect(alpha(0)).toBeCloseTo(0.0065715865, 9);
});

test("every named path is the derivative of itself, and velocity → x → velocity returns inside (.02, .98)", () => {
  for (const path of [...Object.values(paths), polynomialPath(3)]) {
    expect(checkPath("test", path)).toBe(path);
    for (let t = 0.02; t < 0.98; t += 0.05) {
      for (const to of ["score", "x0", "x1"] as const) {
        const x = Float32Array.of(0.4, -1.3);
        const u = Float32Array.of(-0.7, 2);
        const times = Float32Array.of(t);
        const there = convertPrediction(u, x, times, { from: "velocity", to, path });
        const back = convertPrediction(there, x, times, { from: to, to: "velocity", path });
        for (const i of [0, 1]) expect(Math.abs((back[i] ?? 0) - (u[i] ?? 0))).toBeLessThan(2e-5);
      }
    }
  }
});

test("conversions that divide by zero and paths with wrong derivatives are told", () => {
  const one = Float32Array.of(1);
  expect(() => convertPrediction(one, one, 1, { from: "velocity", to: "score" })).toThrow(/not defined at t = 1/);
  expect(() => convertPrediction(one, one, 0, { from: "x0", to: "velocity" })).toThrow(/not defined at t = 0/);
  expect(convertPrediction(one, one, 1, { from: "velocity", to: "x0" })[0]).toBe(0);
  expect(() => convertPrediction(one, new Float32Array(2), 0.5, { from: "x0", to: "x1" })).toThrow(/values has 1/);
  const wrong = { ...paths.cosine, dSigma: () => 1 };
  expect(() => checkPath("train", wrong)).toThrow(
    /path\.dSigma\(0\.1\) is 1, but path\.sigma changes at the rate -0\.2/,
  );
  expect(() => checkPath("train", "cosin" as PathName)).toThrow(/cosine/);
  expect(() => checkPath("train", { alpha: 1 } as never)).toThrow(/path\.alpha is 1/);
});
