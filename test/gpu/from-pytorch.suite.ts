import * as pf from "pushforward";
import {
  activate,
  add,
  concat,
  concatSquash,
  Flow,
  fourier,
  linear,
  mlp,
  type Node,
  network,
  scale,
  slice,
} from "pushforward";
import { reverseTime } from "pushforward/pytorch";
import { expectClose, test } from "../suite.ts";
import { ffjord, flowMatching, lampe, type PyTorchCase, torchcfm, zuko } from "./pytorch-weights.ts";

/** The recipes of docs/from-pytorch.md, word by word: test/unit/from-pytorch.test.ts holds the two together. */
const recipes: Record<string, [PyTorchCase, (gpu: pf.Gpu, bytes: Uint8Array) => Flow]> = {
  "torchcfm's MLP": [
    torchcfm,
    (gpu, bytes) => {
      const velocity = mlp({ dim: 2, hidden: [6, 6, 6], activation: "selu" });
      const flow = Flow.load(gpu, bytes, { velocity });
      return flow;
    },
  ],
  "zuko's CNF": [
    zuko,
    (gpu, bytes) => {
      const waves = (t: Node) => {
        const w = fourier(t, { frequencies: [[0.5], [1], [1.5]] }); // sines, then cosines of π, 2π and 3π t
        return concat(slice(w, 3, 6), slice(w, 0, 3));
      };
      const field = network({ dim: 2, context: 2 }, ({ x, t, context }) => {
        let h = concat(waves(t), x, context);
        h = activate(linear(h, 6, "transform.ode.0"), "elu");
        h = activate(linear(h, 5, "transform.ode.2"), "elu");
        return linear(h, 2, "transform.ode.4");
      });
      const flow = Flow.load(gpu, bytes, { velocity: reverseTime(field) });
      return flow;
    },
  ],
  "lampe's FMPE": [
    lampe,
    (gpu, bytes) => {
      const waves = (t: Node) => {
        const w = fourier(t, { frequencies: [[0.5], [1], [1.5]] }); // sines, then cosines of π, 2π and 3π t
        return concat(slice(w, 3, 6), slice(w, 0, 3));
      };
      const field = network({ dim: 3, context: 2 }, ({ x, t, context }) => {
        let h = concat(x, context, waves(t));
        h = activate(linear(h, 6, "net.0"), "elu");
        h = activate(linear(h, 5, "net.2"), "elu");
        return linear(h, 3, "net.4");
      });
      const flow = Flow.load(gpu, bytes, { velocity: reverseTime(field) });
      return flow;
    },
  ],
  "the MLP of flow_matching's examples": [
    flowMatching,
    (gpu, bytes) => {
      const velocity = mlp({ dim: 2, hidden: [6, 5, 6, 5], activation: "silu" });
      const tensors = (ours: string) => ours.replace("net.", "main.");
      const flow = Flow.load(gpu, bytes, { velocity, tensors });
      return flow;
    },
  ],
  "FFJORD's concatsquash": [
    ffjord,
    (gpu, bytes) => {
      const { tensors } = pf.decodeSafetensors(bytes);
      const root = tensors["chain.0.sqrt_end_time"]?.data[0] ?? 1;
      const velocity = reverseTime(concatSquash({ dim: 2, hidden: [6, 5], activation: "tanh" }), { end: root ** 2 });
      const flow = Flow.load(gpu, bytes, { velocity, tensors: (ours) => `chain.0.odefunc.diffeq.${ours}` });
      return flow;
    },
  ],
};

for (const [name, [made, load]] of Object.entries(recipes))
  test(`a file with the weights of ${name} has the velocity and the divergence that PyTorch computes in f64`, async ({
    gpu,
  }) => {
    const bytes = Uint8Array.from(atob(made.file), (letter) => letter.charCodeAt(0));
    using flow = load(gpu, bytes);
    const [x, t] = [Float32Array.from(made.x), Float32Array.from(made.t)];
    const given = made.context > 0 ? { context: Float32Array.from(made.given) } : {};
    const tolerance = { relative: 1e-5, absolute: 1e-5 };
    expectClose(await flow.velocity(x, t, given), made.velocity, tolerance);
    expectClose(await flow.divergence(x, t, { ...given, divergence: "exact" }), made.divergence, tolerance);
  });

test("a field whose time is reversed takes the particles back along the same way", async ({ gpu }) => {
  const there = pf.network({ dim: 2 }, ({ x, t }) => {
    const h = activate(add(linear(x, 5, "x"), linear(scale(t, 2), 5, "t")), "tanh");
    return linear(h, 2, "out", { initial: "default" });
  });
  using forward = Flow.create(gpu, { velocity: there, seed: 2 });
  const weights = await forward.weights();
  using back = Flow.create(gpu, { velocity: reverseTime(there), weights });
  const x = Float32Array.of(0.5, -1, 2, 0.25);
  const solver = { method: "rk4", steps: 16 } as const;
  const { x: y } = await forward.push(x, { solver });
  expectClose((await back.push(y, { solver })).x, x, { relative: 1e-5, absolute: 1e-5 });
});
