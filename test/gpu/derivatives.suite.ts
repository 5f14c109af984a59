import * as pf from "pushforward";
import { centralDifferences } from "../oracle/differences.ts";
import { affine, type ClosedForm, eightGaussians, gaussian, linear, rotation, shear } from "../oracle/fields.ts";
import { logLikelihoodRows, timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, rowOf, uniformArray } from "./inputs.ts";

const vector = "array<f32, DIM>";
const field = (body: string, before = "") => `${before}\nfn velocity(t: f32, x: ${vector}) -> ${vector} {\n${body}\n}`;

/** A field of the oracle without its own divergence: derivatives are generated from its code. */
function generated(gpu: pf.Gpu, { dim, wgsl = "" }: ClosedForm): pf.Flow {
  const code = wgsl.replace(/fn divergence\(/, "fn own_divergence(");
  return pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim, code }) });
}

const forms: [string, ClosedForm][] = [
  ["rotation", rotation(Math.PI)],
  ["shear", shear(1.5)],
  ["linear", linear(3, 0.7)],
  ["affine", affine([[0.3, 0.8], [-0.5, -0.2]], [0.1, -0.4])], // biome-ignore format: a matrix
  ["Gaussian path", gaussian([1, -2], 0.5)],
  ["eight Gaussians", eightGaussians],
];

for (const [name, form] of forms) {
  test(`divergence, products and log p from generated derivatives agree with the closed form: ${name}`, async ({
    gpu,
  }) => {
    const flow = generated(gpu, form);
    const { dim } = form;
    const n = 33;
    const x = uniformArray(n * dim, -1.5, 1.5, 3);
    const t = 0.4;
    const at = (i: number) => rowOf(x, dim, i);
    expectClose(
      await flow.divergence(x, t),
      forRows(n, (i) => form.divergence(t, at(i))),
      { relative: 2e-5, absolute: 1e-5 },
    );
    const v = uniformArray(n * dim, -1, 1, 4);
    // J v and Jᵀ w by f64 differences of the closed form
    const column = (i: number, k: number) =>
      centralDifferences((y) => form.velocity(t, y)[k] ?? Number.NaN, Float64Array.from(at(i)));
    const jacobian = Array.from({ length: n }, (_, i) => Array.from({ length: dim }, (_, k) => column(i, k)));
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a).reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);
    const forward = await flow.jvp(x, t, v);
    expectClose(
      forward.jvp,
      forRows(n, (i) => (jacobian[i] ?? []).map((row) => dot(row, rowOf(v, dim, i)))),
      { relative: 2e-5, absolute: 2e-5 },
    );
    expectClose(
      forward.velocity,
      forRows(n, (i) => form.velocity(t, at(i))),
      { relative: 1e-5, absolute: 1e-5 },
    );
    const reverse = await flow.vjp(x, t, v);
    const transposed = (i: number) =>
      Array.from({ length: dim }, (_, j) =>
        dot(
          (jacobian[i] ?? []).map((row) => row[j] ?? 0),
          rowOf(v, dim, i),
        ),
      );
    expectClose(reverse.vjp, forRows(n, transposed), { relative: 2e-5, absolute: 2e-5 });
    const solver = { method: "midpoint", steps: 10 } as const;
    const { logProb } = await flow.logProb(x, { solver });
    const wanted = logLikelihoodRows(form, x, "midpoint", timesOf(1, 0, 10));
    // the eight Gaussians bend strongly, so roundings of x grow on the way
    expectClose(logProb, wanted.logProb, { absolute: form === eightGaussians ? 1e-3 : 5e-5, relative: 1e-5 });
    // in two dimensions the probes (1, 1) and (1, −1) give the trace together
    if (dim === 2) {
      const vectors = new Float32Array(4 * n).map((_, k) => (k >= 2 * n && k % 2 === 1 ? -1 : 1));
      const probes = { probe: "rademacher", probes: 2, vectors } as const;
      expectClose((await flow.logProb(x, { solver, divergence: probes })).logProb, logProb, { absolute: 1e-4 });
    }
    flow.dispose();
  });
}

type Rule = readonly [wgsl: string, f: (a: number, b: number) => number];

/** Every function that has a rule, on a in (.2, .9) and b in (1.1, 1.9), with its twin in f64. */
const rules: readonly Rule[] = [
  ["sin(a) * cos(b)", (a, b) => Math.sin(a) * Math.cos(b)],
  ["tan(a) + asin(a) - acos(a * 0.5)", (a) => Math.tan(a) + Math.asin(a) - Math.acos(a * 0.5)],
  ["atan(a * b) + atan2(a, b)", (a, b) => Math.atan(a * b) + Math.atan2(a, b)],
  ["sinh(a) + cosh(b) * tanh(a)", (a, b) => Math.sinh(a) + Math.cosh(b) * Math.tanh(a)],
  ["asinh(a) + acosh(b) + atanh(a)", (a, b) => Math.asinh(a) + Math.acosh(b) + Math.atanh(a)],
  ["exp(a) * exp2(b) / a", (a, b) => (Math.exp(a) * 2 ** b) / a],
  ["log(a) - log2(b)", (a, b) => Math.log(a) - Math.log2(b)],
  ["sqrt(a) * inverseSqrt(b)", (a, b) => Math.sqrt(a) / Math.sqrt(b)],
  ["abs(-a) + sign(a) * b", (a, b) => Math.abs(-a) + b],
  ["fract(a * 3.0) + radians(a) + degrees(b)", (a, b) => ((3 * a) % 1) + (a * Math.PI) / 180 + (b * 180) / Math.PI],
  ["saturate(a) + saturate(b)", (a) => a + 1],
  ["min(a, b) + max(a, b * b) * 2.0", (a, b) => a + 2 * b * b],
  ["clamp(a, 0.0, 1.0) + clamp(b, a, 1.0) + clamp(a, 1.0, b)", (a) => a + 2],
  ["pow(a, b) + pow(b, 3.0)", (a, b) => a ** b + b ** 3],
  ["fma(a, b, a) - mix(a, b, a)", (a, b) => a * b + a - (a * (1 - a) + b * a)],
  ["smoothstep(0.0, 2.0, b)", (_, b) => (b / 2) ** 2 * (3 - b)],
  ["floor(a) + ceil(b) + round(a) + trunc(b) + step(a, b)", (a, b) => 0 + 2 + Math.round(a) + Math.trunc(b) + 1],
  ["b % a", (a, b) => b - a * Math.trunc(b / a)],
  ["-a / -(b + 1.0) - (a - b)", (a, b) => a / (b + 1) - (a - b)],
  ["select(a * a, b * b, a < b)", (_, b) => b * b],
  ["length(vec2f(a, b)) + length(a) + distance(vec2f(a, b), vec2f(1.0, b * b))", (a, b) =>
    Math.hypot(a, b) + a + Math.hypot(a - 1, b - b * b)], // biome-ignore format: a row of a table
  ["dot(vec3f(a, b, 1.0), vec3f(b, a * a, a))", (a, b) => a * b + b * a * a + a],
  ["normalize(vec2f(a, b)).x", (a, b) => a / Math.hypot(a, b)],
  ["cross(vec3f(a, b, 1.0), vec3f(1.0, a, b)).y", (a, b) => 1 - a * b],
  ["(vec2f(a, b) * 2.0 + vec2f(1.0)).yx.x * vec4f(a).w", (a, b) => (2 * b + 1) * a],
];

test("every builtin function with a rule has the derivative of its f64 twin", async ({ gpu }) => {
  for (let from = 0; from < rules.length; from += 9) {
    const part = rules.slice(from, from + 9);
    const dim = part.length + 1;
    const body = part.map(([wgsl], k) => `{ let a = x[0]; let b = x[${k + 1}]; u[${k + 1}] = ${wgsl}; }`).join("\n");
    const velocity = pf.wgslVelocity({ dim, code: field(`var u = ${vector}();\n${body}\nreturn u;`) });
    const flow = pf.Flow.create(gpu, { velocity });
    const n = 9;
    const x = uniformArray(n * dim, 1.1, 1.9, 5);
    const tangent = uniformArray(n * dim, -1, 1, 6);
    for (let i = 0; i < n; i++) x[i * dim] = 0.2 + (0.7 * (i + 0.5)) / n;
    const { jvp } = await flow.jvp(x, 0, tangent);
    const wanted = forRows(n, (i) => [
      0,
      ...part.map(([, f], k) => {
        const [a, b] = [x[i * dim] ?? 0, x[i * dim + k + 1] ?? 0];
        const [da = 0, db = 0] = centralDifferences((y) => f(y[0] ?? 0, y[1] ?? 0), Float64Array.of(a, b));
        return da * (tangent[i * dim] ?? 0) + db * (tangent[i * dim + k + 1] ?? 0);
      }),
    ]);
    // WGSL bounds its own functions loosely: acos, atan2 and pow are good to about 1e-4 on some adapters
    expectClose(jvp, wanted, { relative: 2e-4, absolute: 2e-4 });
    flow.dispose();
  }
});

test("branches, loops, helper functions, constants and arrays are differentiated where they lead", async ({ gpu }) => {
  const before = `const rate = 0.5;
const count: i32 = 3;
alias Pair = vec2<f32>;
// a helper with a tangent in one argument only, called with either
fn bump(s: f32, width: f32) -> f32 {
  if (s > 1.0) { return width * s; } else if (s < -1.0) { return s / width; }
  return s * s * width;
}
fn turn(p: Pair) -> Pair { return Pair(-p.y, p.x) * rate; }`;
  const body = `var u: ${vector};
  var total = 0.0;
  for (var i = 0; i < DIM; i++) {
    if (i == 2) { continue; }
    total += x[i] * f32(i + 1);
  }
  var k = 0;
  var power = 1.0;
  while (k < count) { power *= x[0]; k++; }
  var sum = x[1];
  loop { sum = sum * 0.5 + x[2]; k -= 1; continuing { break if k <= 0; } }
  let both = turn(Pair(x[0], x[1])) + turn(Pair(t, x[2]));
  var parts = array<f32, 3>(bump(x[0], 2.0), bump(x[1] * 3.0, x[2]), bump(t, x[0]));
  parts[1] = parts[1] + parts[0];
  { let total = 5.0; u[0] = total * parts[1]; }
  u[0] += total;
  u[1] = power + both.x * both.y;
  u[2] = sum - parts[2];
  return u;`;
  const twin = (t: number, x: ArrayLike<number>): number[] => {
    const [a = 0, b = 0, c = 0] = Array.from(x);
    const bump = (s: number, width: number) => (s > 1 ? width * s : s < -1 ? s / width : s * s * width);
    const total = a + 2 * b;
    let sum = b;
    for (let k = 0; k < 3; k++) sum = sum * 0.5 + c;
    const both = [0.5 * (-b - c), 0.5 * (a + t)] as const;
    const first = bump(a, 2);
    return [5 * (bump(3 * b, c) + first) + total, a ** 3 + both[0] * both[1], sum - bump(t, a)];
  };
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 3, code: field(body, before) }) });
  const n = 40;
  const x = uniformArray(3 * n, -1.5, 1.5, 11);
  const t = 0.3;
  expectClose(
    await flow.velocity(x, t),
    forRows(n, (i) => twin(t, rowOf(x, 3, i))),
    { relative: 1e-5, absolute: 1e-5 },
  );
  const trace = forRows(n, (i) =>
    [0, 1, 2].reduce(
      (all, k) => all + (centralDifferences((y) => twin(t, y)[k] ?? 0, Float64Array.from(rowOf(x, 3, i)))[k] ?? 0),
      0,
    ),
  );
  expectClose(await flow.divergence(x, t), trace, { relative: 1e-5, absolute: 1e-5 });
  flow.dispose();
});

test("the field's own divergence is used where there is one, and generated products agree with it", async ({ gpu }) => {
  const code = field(`return ${vector}(x[0] * x[1], x[1] * t);`);
  const own = `${code}\nfn divergence(t: f32, x: ${vector}) -> f32 { return 42.0; }`;
  const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code: own }) });
  expect([...(await flow.divergence(Float32Array.of(1, 2), 0.5))]).toEqual([42]);
  const { jvp } = await flow.jvp(Float32Array.of(1, 2), 0.5, Float32Array.of(1, 1));
  expectClose(jvp, [3, 0.5], { relative: 1e-6 });
  flow.dispose();
});

test("what has no generated derivative is named with its line and a way out, and sampling still works", async ({
  gpu,
}) => {
  const told = async (body: string, before = "") => {
    const flow = pf.Flow.create(gpu, { velocity: pf.wgslVelocity({ dim: 2, code: field(body, before) }) });
    await flow.sample(3, { solver: { method: "euler", steps: 1 } });
    const error = await flow.divergence(new Float32Array(2), 0).then(
      () => undefined,
      (reason: unknown) => reason as pf.PushforwardError,
    );
    flow.dispose();
    expect(error?.code).toBe("unsupported");
    expect(error?.message).toMatch(/add fn divergence/);
    return error?.message;
  };
  expect(
    await told(`let m = mat2x2f(x[0], 1.0, 0.0, x[1]);\nlet y = m * vec2f(1.0);\nreturn ${vector}(y.x, y.y);`),
  ).toMatch(/line 3 of the code has .*mat2x2f/);
  expect(await told(`var u = x;\nlet p = &u;\n(*p)[0] = 2.0;\nreturn u;`)).toMatch(/line 4 .*a pointer/);
  expect(await told(`switch (i32(x[0])) { case 0: { return x; } default: { return x; } }`)).toMatch(/line 3 .*switch/);
  expect(await told(`let s = S(x[0]);\nreturn ${vector}(s.a, 0.0);`, "struct S { a: f32 }")).toMatch(/line 3 .*S/);
});
