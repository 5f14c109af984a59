import * as pf from "pushforward";
import { expect, test } from "../suite.ts";

/** What a call throws or rejects with; fails when it does neither. */
async function failure(call: () => unknown): Promise<pf.PushforwardError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof pf.PushforwardError) return error;
    throw error;
  }
  throw new Error("the call was expected to fail");
}

const x = Float32Array.of(0, 1, 2, 3);
// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

/** Name of the case, the call, and what the message must hold. */
const cases: [string, (flow: pf.Flow, gpu: pf.Gpu) => unknown, RegExp][] = [
  [
    "x of a wrong length",
    (flow) => flow.push(new Float32Array(7)),
    /x has 7 values, but a flow of dim 2 needs a multiple of 2/,
  ],
  ["x that is a plain array", (flow) => flow.push(loose([1, 2])), /x is \[1, 2\], but .*Float32Array/],
  ["an unknown option", (flow) => flow.push(x, loose({ solvr: {} })), /no option "solvr": did you mean "solver"\?/],
  [
    "an unknown method",
    (flow) => flow.push(x, { solver: loose({ method: "midpont", steps: 3 }) }),
    /"midpont".*did you mean "midpoint"\?/,
  ],
  [
    "negative steps",
    (flow) => flow.push(x, { solver: { method: "euler", steps: -1 } }),
    /solver.steps is -1, but it is an integer from 1/,
  ],
  [
    "a velocity that was written by hand",
    (_, gpu) => pf.Flow.create(gpu, { velocity: { ...pf.mlp({ dim: 2, hidden: [] }), dim: Number.NaN } }),
    /mlp: dim is NaN, but it is an integer from 1/,
  ],
  [
    "options of flux that are null",
    (flow) => flow.flux(x, 0.5, loose(null)),
    /flux takes an options object, but got null/,
  ],
  ["fractional steps", (flow) => flow.push(x, { solver: { method: "euler", steps: 2.5 } }), /solver.steps is 2.5/],
  ["no steps", (flow) => flow.push(x, { solver: loose({ method: "rk4" }) }), /neither steps nor times.*steps: 50/],
  [
    "steps and times at once",
    (flow) => flow.push(x, { solver: loose({ method: "rk4", steps: 2, times: [0, 1] }) }),
    /both steps and times/,
  ],
  [
    "a grid that goes back",
    (flow) => flow.push(x, { solver: { method: "rk4", times: [0, 0.6, 0.5, 1] } }),
    /go from 0.6 to 0.5/,
  ],
  [
    "a grid that ends elsewhere",
    (flow) => flow.push(x, { solver: { method: "rk4", times: [0, 0.9] } }),
    /end at 0.9, but the interval's end is 1/,
  ],
  [
    "a saved time off the grid",
    (flow) => flow.push(x, { solver: { method: "euler", steps: 4 }, saveAt: [0.3] }),
    /saveAt\[0\] = 0.3 .*nearest is 0.25.*steps: 10/,
  ],
  ["a time outside of [0, 1]", (flow) => flow.push(x, { to: 1.5 }), /to is 1.5, but .* from 0 to 1/],
  ["NaN as a time", (flow) => flow.velocity(x, Number.NaN), /t is NaN/],
  [
    "times of a wrong length",
    (flow) => flow.velocity(x, new Float32Array(3)),
    /t has 3 values, but there are 2 particles/,
  ],
  ["a tangent of a wrong length", (flow) => flow.jvp(x, 0, new Float32Array(2)), /tangent has 2 values/],
  [
    "log p of a wrong length",
    (flow) => flow.push(x, { logProb: new Float32Array(3) }),
    /logProb has 3 values, but there are 2 particles/,
  ],
  [
    "unknown log p at a later time",
    (flow) => flow.push(x, { from: 0.5, logProb: true }),
    /only the caller can know log p/,
  ],
  ["an unknown divergence", (flow) => flow.logProb(x, { divergence: loose("exakt") }), /divergence is "exakt"/],
  [
    "an unknown probe",
    (flow) => flow.logProb(x, { divergence: { probe: loose("gausian") } }),
    /did you mean "gaussian"\?/,
  ],
  [
    "vectors of a wrong length",
    (flow) => flow.logProb(x, { divergence: { probe: "gaussian", probes: 2, vectors: x } }),
    /need 8/,
  ],
  ["a negative count", (flow) => flow.sample(-1), /count is -1/],
  ["a fractional seed", (flow) => flow.sample(1, { seed: 0.5 }), /^sample: seed is 0.5/],
  [
    "a list of numbers",
    (flow) => flow.push(loose([1, 2])),
    /^push: x is \[1, 2\], but it is a row-major \[n, \d\] Float32Array: wrap it with Float32Array\.from\(…\)$/,
  ],
  [
    "no particles at all",
    (flow) => flow.logProb(loose(undefined)),
    /x is undefined, but it is a row-major \[n, \d\] Float32Array$/,
  ],
  ["a chunk of nothing", (flow) => flow.sample(1, { chunkSize: 0 }), /chunkSize is 0/],
  [
    "labels without classes",
    (flow) => flow.sample(2, { labels: new Uint32Array(2) }),
    /no classes: make it with mlp\(\{ classes/,
  ],
  ["guidance without labels", (flow) => flow.sample(2, { guidance: 2 }), /no labels to guide towards/],
  ["context without context inputs", (flow) => flow.sample(2, { context: x }), /no context inputs/],
  ["an unknown output", (flow) => flow.sample(2, { output: loose("tpu") }), /output is "tpu"/],
  ["a missing tensor", (flow) => flow.setWeights({}), /"net.0.weight" \[16, 3\] is missing/],
  [
    "an unknown tensor",
    async (flow) => flow.setWeights({ ...(await flow.weights()), "net.0.wieght": x }),
    /did you mean "net.0.weight"\?/,
  ],
  [
    "a tensor of a wrong size",
    async (flow) => flow.setWeights({ ...(await flow.weights()), "net.0.bias": x }),
    /"net.0.bias" has 4 values.* = 16/,
  ],
  [
    "a weight that is NaN",
    async (flow) => flow.setWeights({ ...(await flow.weights()), "net.2.bias": Float32Array.of(0, Number.NaN) }),
    /"net.2.bias" holds NaN at index 1/,
  ],
  [
    "a velocity that is none",
    (_, gpu) => pf.Flow.create(gpu, { velocity: loose({ dim: 2 }) }),
    /velocity is an object, but it is what mlp/,
  ],
  [
    "a device in place of a Gpu",
    (_, gpu) => pf.Flow.create(loose(gpu.device), { velocity: pf.mlp({ dim: 1, hidden: [4] }) }),
    /what openGpu\(\) resolved to/,
  ],
  [
    "a source of the wrong dimension",
    (_, gpu) =>
      pf.Flow.create(gpu, {
        velocity: pf.mlp({ dim: 2, hidden: [4] }),
        source: { distribution: "gaussian", mean: [0] },
      }),
    /source.mean is \[0\].*2 numbers/,
  ],
  [
    "a box without volume",
    (_, gpu) =>
      pf.Flow.create(gpu, {
        velocity: pf.mlp({ dim: 1, hidden: [4] }),
        source: { distribution: "uniform", low: [1], high: [1] },
      }),
    /must be above source.low/,
  ],
  [
    "a scale of zero",
    (_, gpu) =>
      pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 1, hidden: [4] }), normalization: { mean: [0], scale: [0] } }),
    /a scale is positive/,
  ],
  ["mlp without dim", () => pf.mlp(loose({ hidden: [4] })), /dim is undefined, but it is an integer/],
  [
    "mlp with an unknown activation",
    () => pf.mlp({ dim: 1, hidden: [4], activation: loose("sine") }),
    /"sine", but it is one of "silu".*did you mean "sin"/,
  ],
  [
    "mlp with an activation by another of its names",
    () => pf.mlp({ dim: 1, hidden: [4], activation: loose("swish") }),
    /activation is "swish", but that is called "silu" here/,
  ],
  [
    "weights that the network does not have",
    (flow) => flow.setWeights({ elsewhere: new Float32Array(1) }),
    /has no tensor "elsewhere"\. It has net\.0\.weight/,
  ],
  [
    "Fourier features both given and drawn",
    () => pf.network({ dim: 1 }, ({ x }) => pf.fourier(x, loose({ frequencies: [[1]], count: 2 }))),
    /count is for frequencies that are drawn, but frequencies are given/,
  ],
  ["mlp with a width of zero", () => pf.mlp({ dim: 1, hidden: [4, 0] }), /hidden\[1\] is 0/],
  ["mlp with an unknown time", () => pf.mlp({ dim: 1, hidden: [4], time: loose("sinus") }), /time is "sinus"/],
  [
    "wgslVelocity without a velocity",
    () => pf.wgslVelocity({ dim: 1, code: "fn speed() {}" }),
    /defines no fn velocity/,
  ],
];

for (const [name, call, message] of cases) {
  test(`bad input is told: ${name}`, async ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16] }), seed: 1 });
    const error = await failure(() => call(flow, gpu));
    expect(error.message).toMatch(message);
    expect(["invalid-argument", "unsupported"]).toContain(error.code);
    flow.dispose();
  });
}

test("a disposed flow says so, and disposing twice is harmless", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16] }), seed: 1 });
  await flow.sample(3, { solver: { method: "euler", steps: 1 } });
  flow.dispose();
  flow.dispose();
  for (const call of [() => flow.sample(1), () => flow.velocity(x, 0), () => flow.weights(), () => flow.save()]) {
    expect((await failure(call)).message).toMatch(/this flow has been disposed/);
  }
});

test("files that are damaged or of something else are refused with code format", async ({ gpu }) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [16] }), seed: 1 });
  const bytes = await flow.save();
  const foreign = pf.encodeSafetensors({ a: { shape: [1], data: Float32Array.of(1) } }, {});
  const hostile = pf.encodeSafetensors(
    { a: { shape: [1], data: Float32Array.of(1) } },
    { pushforward: '{"version":1,"velocity":{"dim":1e9,"hidden":[]}}' },
  );
  const later = pf.encodeSafetensors({}, { pushforward: '{"version":2,"velocity":{}}' });
  for (const [file, message] of [
    [bytes.slice(0, 5), /./],
    [bytes.slice(0, bytes.length - 3), /./],
    [foreign, /no metadata field "pushforward".*velocity: mlp/],
    [hostile, /dim is 1000000000/],
    [later, /version 2, but this library reads version 1/],
  ] as const) {
    const error = await failure(() => pf.Flow.load(gpu, file));
    expect(error.code).toBe("format");
    expect(error.message).toMatch(message);
  }
  const velocity = pf.mlp({ dim: 2, hidden: [16] });
  const plain = pf.encodeSafetensors(Object.fromEntries(Object.entries(pf.decodeSafetensors(bytes).tensors)), {});
  const loaded = pf.Flow.load(gpu, plain, { velocity });
  expect(await loaded.weights()).toEqual(await flow.weights());
  const other = await failure(() => pf.Flow.load(gpu, plain, { velocity: pf.mlp({ dim: 2, hidden: [17] }) }));
  expect(other.message).toMatch(/shape \[16, 3\], but this network needs \[17, 3\]/);
  for (const each of [flow, loaded]) each.dispose();
});
