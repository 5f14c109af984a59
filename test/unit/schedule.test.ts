import { expect, test } from "vitest";
import { FusedNetwork } from "../../shaders/fused-network.ts";
import { packedFor } from "../../shaders/packing.ts";
import { mostBuffers } from "../../shaders/stages.ts";
import type { Dispatch } from "../../src/gpu/kernel.ts";
import * as pf from "../../src/index.ts";
import type { RunRange } from "../../src/kernels/rows.ts";
import { tangentOfX, withTangents } from "../../src/network/derivatives.ts";
import { networkOf } from "../../src/network/of.ts";
import { splitNetwork, tablePlaces } from "../../src/network/split.ts";
import { type Place, wholeBuffer } from "../../src/network/stages.ts";
import { NetworkTable } from "../../src/ode/network-table.ts";
import { inputPlaces, Run } from "../../src/velocity/run.ts";

const { activate, concat, fourier, layerNorm, linear, multiply, network, rmsNorm, scale, slice } = pf;

const networks: Record<string, pf.NetworkVelocity> = {
  "a product of a part's part, beside it": network({ dim: 8, context: 3, classes: 2 }, ({ x, t, label, context }) => {
    const twice = concat(context, context, scale(t, 0.5));
    return linear(concat(x, label, linear(context, 1, "a"), twice, linear(scale(t, 0.5), 8, "b")), 8, "out");
  }),
  "waves of a part's part, beside it": network({ dim: 2 }, ({ x, t }) => {
    const waves = fourier(x, { frequencies: [[1, 2]] });
    return linear(concat(waves, concat(t, linear(waves, 3, "a")), fourier(waves, { frequencies: [[1, 1]] })), 2, "out");
  }),
  "a product of a slice of what lies beside it": network({ dim: 2 }, ({ x, t }) => {
    const h = activate(linear(x, 4, "in"), "tanh");
    const inner = concat(h, t, h);
    return linear(concat(linear(slice(h, 1, 3), 3, "a"), inner, linear(h, 2, "b")), 2, "out");
  }),
  "waves of what lies beside them": network({ dim: 1 }, ({ x, t }) => {
    const when = activate(t, "tanh");
    return linear(concat(fourier(when, { count: 2 }), when, linear(x, 3, "in")), 1, "out");
  }),
  "waves of what depends on the time, beside it": network({ dim: 2 }, ({ x, t }) => {
    const when = activate(t, "tanh");
    const waves = fourier(when, { frequencies: [[1], [2], [0.5]] });
    return linear(linear(concat(when, x, waves), 1, "in"), 2, "out");
  }),
  "a norm of what depends on time and class, beside it": network({ dim: 2, classes: 3 }, ({ x, t, label }) => {
    const when = activate(t, "silu");
    return linear(concat(linear(x, 3, "in"), when, rmsNorm(when, "norm"), label), 2, "out");
  }),
  "a product with a table of classes and four functions of it": network({ dim: 1, classes: 7 }, ({ x, label }) => {
    const h = layerNorm(linear(x, 7, "a"), "n");
    const z = linear(concat(scale(label, 4), scale(h, 2), rmsNorm(linear(h, 7, "b"), "r")), 2, "out");
    return slice(multiply(activate(z, "sin"), activate(z, "sigmoid")), 1, 2);
  }),
};

for (const [name, velocity] of Object.entries(networks))
  test(`no kernel of a layer has a buffer too many, or one that it reads and writes under two names: ${name}`, () => {
    const made = networkOf(velocity);
    const split = splitNetwork(made.program, made.output);
    const wholes = [
      { program: made.program, output: made.output, places: new Map<string, Place>() },
      { ...split, places: tablePlaces(split.table, "table") },
    ];
    for (const { program, output, places } of wholes) {
      const tangents = withTangents(program, output);
      const run = new Run(made, tangents.program, {
        inputs: new Map([...inputPlaces(made, "h0"), ...places, [tangentOfX, wholeBuffer("dh0", made.dim)]]),
        outputs: [
          { value: tangents.output, place: wholeBuffer("u", made.dim) },
          { value: tangents.tangent, place: wholeBuffer("jv", made.dim) },
        ],
        lateInputs: [tangentOfX],
        prefix: "n",
      });
      const range: RunRange = { capacity: 64, maxFlops: 1e9, tangents: 2, table: { columns: 1, column: 0 } };
      check([...run.early(range), ...run.late(range)]);
    }
    for (const isByColumns of [false, true])
      if (split.table.rows > 0) check(new NetworkTable(made, split.table, isByColumns).planOneTime(1e9));
  });

function check(dispatches: readonly Dispatch[]): void {
  for (const { kernel, buffers } of dispatches) {
    const bound = Object.entries(buffers);
    expect([kernel.label, bound.length > mostBuffers]).toEqual([kernel.label, false]);
    for (const [name, buffer] of bound) {
      const declared = kernel.buffers[name] || undefined;
      if (declared?.access !== "write") continue;
      const same = bound.filter(([, other]) => other === buffer).map(([other]) => other);
      expect([kernel.label, ...same]).toEqual([kernel.label, name]);
    }
  }
}

test("the weights of a fused kernel hold the columns that its tangents take, where x lies among what depends on time", () => {
  const velocity = network({ dim: 1 }, ({ x, t }) => {
    const inner = concat(linear(t, 1, "when"), concat(activate(x, "tanh"), activate(x, "silu")));
    return linear(concat(inner, activate(t, "tanh")), 1, "out");
  });
  const fused = new FusedNetwork(networkOf(velocity));
  const { matrices } = fused.packing(4);
  for (const atOneTime of [true, false])
    for (const tangents of [true, false])
      for (const step of fused.scheduled(atOneTime, tangents).program.steps)
        if (step.kind === "linear") expect(packedFor(matrices, step)).toBeDefined();
});

test("a parameter of one number goes to all rows of what it multiplies", () => {
  const made = networkOf(network({ dim: 3 }, ({ x }) => concat(layerNorm(slice(x, 0, 1), "n"), slice(x, 1, 3))));
  const program = made.program.copy();
  const output = program.multiply(program.input("x", 3), program.parameter("n.weight", 1));
  const run = new Run(made, program, {
    inputs: new Map([["x", wholeBuffer("h0", 3)]]),
    outputs: [{ value: output, place: wholeBuffer("u", 3) }],
    prefix: "n",
  });
  const [{ kernel } = { kernel: { code: "" } }] = run.early({ capacity: 64, maxFlops: 1e9, tangents: 0 });
  expect(kernel.code).toMatch(/= vec4f\(b\d\[params\.l\d\]\);/);
});

test("an input or a layer of which slices leave nothing is refused in words", () => {
  const refused = (build: () => unknown, words: RegExp) => expect(build).toThrow(words);
  refused(
    () => network({ dim: 1 }, ({ x, t }) => slice(concat(x, t), 1, 2)),
    /nothing of the input x is in the output/,
  );
  refused(
    () => network({ dim: 1, classes: 2 }, ({ x, label }) => slice(concat(x, label), 0, 1)),
    /nothing of the input label is in the output.*leave classes out/,
  );
  refused(
    () => network({ dim: 1 }, ({ x, t }) => slice(concat(linear(x, 1, "a"), linear(t, 1, "b")), 0, 1)),
    /nothing of "b.weight" is in the output/,
  );
});
