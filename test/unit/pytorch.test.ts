import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { saveFlow } from "../../src/flow/save-file.ts";
import * as pf from "../../src/index.ts";
import { mlpOperations } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { activations } from "../../src/network/operations/activate.ts";
import { operationRules, pytorchTexts } from "../../src/network/operations/index.ts";
import { toPyTorch } from "../../src/pytorch/entry.ts";
import { generator, uniformArray } from "../gpu/inputs.ts";
import { expectClose } from "../homes/expect-close.ts";
import { type NetworkSpec, networkAt } from "../oracle/network.ts";
import { toData } from "../oracle/transforms.ts";
import { inFolder, run } from "./command-line.ts";

/** A Python that has PyTorch: the one of the path, or Debian's. */
const python = ["python3", "/usr/bin/python3"].find(
  (name) => spawnSync(name, ["-c", "import torch"], { timeout: 60_000 }).status === 0,
);
const folder = mkdtempSync(join(tmpdir(), "pushforward-pytorch-"));
afterAll(() => rmSync(folder, { recursive: true }));

const velocities: Record<string, pf.MlpVelocity | pf.NetworkVelocity> = {
  mlp: pf.mlp({ dim: 2, hidden: [5, 4], inputOrder: "t,x", time: { fourier: 2 }, features: { fourier: { count: 3 } } }),
  conditional: pf.mlp({ dim: 3, hidden: [6], classes: 3, context: 2, activation: "gelu" }),
  residual: pf.residualMlp({ dim: 2, width: 6, blocks: 2, classes: 2, context: 1 }),
  squash: pf.concatSquash({ dim: 2, hidden: [5] }),
  "every activation, names that modules have": pf.network({ dim: 2 }, ({ x, t }) => {
    let h = pf.linear(pf.concat(x, t), 4, "forward");
    for (const [i, activation] of activations.entries())
      h = pf.rmsNorm(pf.add(h, pf.activate(pf.linear(h, 4, `forward.${i}`), activation)), `training.${i}`);
    h = pf.layerNorm(pf.multiply(pf.shift(h, 0.3), pf.scale(h, -2)), "weight");
    return pf.slice(pf.linear(h, 3, "a.b", { bias: false }), 1, 3);
  }),
  "no layer": pf.network({ dim: 1 }, ({ x, t }) => pf.multiply(x, pf.activate(t, "sin"))),
};

const n = 6;
const cases = Object.entries(velocities).map(([name, velocity], k) => {
  const { tensors } = networkOf(velocity);
  const weights = Object.fromEntries(tensors.map(({ name, size }, i) => [name, uniformArray(size, -1, 1, 7 * k + i)]));
  const next = generator(k + 1);
  const labels = Array.from({ length: n }, (_, i) => (i === 1 ? -1 : Math.floor(next() * velocity.classes)));
  return {
    name,
    velocity,
    weights,
    x: uniformArray(n * velocity.dim, -2, 2, 50 + k),
    t: uniformArray(n, 0, 1, 60 + k),
    labels: velocity.classes > 0 ? labels : undefined,
    context: velocity.context > 0 ? uniformArray(n * velocity.context, -1, 1, 70 + k) : undefined,
  };
});

const program = `
import importlib, json, sys, torch
cases = json.load(open("cases.json"))
results = []
for k, case in enumerate(cases):
    module = importlib.import_module(f"flow{k}")
    velocity = module.load(f"flow{k}.safetensors").double()
    x = torch.tensor(case["x"], dtype=torch.float64).reshape(${n}, -1)
    t = torch.tensor(case["t"], dtype=torch.float64)
    label = torch.tensor(case["labels"]) if "labels" in case else None
    context = torch.tensor(case["context"], dtype=torch.float64).reshape(${n}, -1) if "context" in case else None
    u = velocity(t, x, label, context)
    velocity(0.5, x, label, context)
    more = [module.to_data(x).flatten().tolist(), module.from_data(module.to_data(x)).flatten().tolist()] if k in (0, 1, 3) else []
    results.append({"u": u.flatten().tolist(), "names": list(velocity.state_dict()), "more": more})
print(json.dumps(results))
`;

test.skipIf(python === undefined)(
  `every network that is exported has PyTorch's velocity: equal to f64${python === undefined ? " (skipped: no Python here has torch; Debian's is python3-torch)" : ""}`,
  () => {
    const transform = [
      { kind: "interval", low: -1, high: 3 },
      { kind: "simplex", size: 2 },
    ] as const;
    const circles = [{ kind: "circular", period: 360, low: -90 }, { kind: "latitude" }] as const;
    const normalization = { mean: [1, -2], scale: [0.5, 3] };
    for (const [k, { velocity, weights }] of cases.entries()) {
      const own = k === 0 ? normalization : undefined;
      const parts = {
        velocitySpec: velocity,
        normalization: own,
        transform: [undefined, transform, undefined, circles][k],
      };
      writeFileSync(join(folder, `flow${k}.py`), toPyTorch(parts));
      const file = saveFlow(velocity, weights, { distribution: "gaussian" }, own);
      writeFileSync(join(folder, `flow${k}.safetensors`), file);
    }
    const plain = cases.map(({ x, t, labels, context }) => ({
      x: [...x],
      t: [...t],
      ...(labels && { labels }),
      ...(context && { context: [...context] }),
    }));
    writeFileSync(join(folder, "cases.json"), JSON.stringify(plain));
    const run = spawnSync(python as string, ["-c", program], { cwd: folder, encoding: "utf8", timeout: 120_000 });
    expect(run.stderr.split("\n").filter((line) => /Error/.test(line))).toEqual([]);
    const results = JSON.parse(run.stdout) as { u: number[]; names: string[]; more: number[][] }[];
    for (const [k, { velocity, weights, x, t, labels, context }] of cases.entries()) {
      const { dim, classes } = velocity;
      const operations = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
      const spec = { dim, classes, context: velocity.context, operations } as unknown as NetworkSpec;
      const wanted = Array.from({ length: n }, (_, i) => {
        const given = {
          ...(labels && { label: labels[i] }),
          ...(context && { context: context.subarray(i * velocity.context, (i + 1) * velocity.context) }),
        };
        const row = x.subarray(i * dim, (i + 1) * dim);
        return [...networkAt(spec, weights, t[i] as number, row, new Float64Array(dim), given).velocity];
      }).flat();
      expectClose(results[k]?.u ?? [], wanted, { relative: 1e-9, absolute: 1e-9 });
    }
    // the names of plain networks are those of the file
    expect(results[0]?.names).toEqual(Object.keys(cases[0]?.weights ?? {}));
    const spaced = cases[1]?.x ?? new Float32Array();
    const rows = Array.from({ length: n }, (_, i) => toData(spaced.subarray(3 * i, 3 * i + 3), transform)).flat();
    expectClose(results[1]?.more[0] ?? [], rows, { relative: 1e-12 });
    expectClose(results[1]?.more[1] ?? [], [...spaced], { relative: 1e-9 });
    const angles = cases[3]?.x ?? new Float32Array();
    const turned = Array.from({ length: n }, (_, i) => toData(angles.subarray(2 * i, 2 * i + 2), circles)).flat();
    expectClose(results[3]?.more[0] ?? [], turned, { relative: 1e-12 });
    expectClose(results[3]?.more[1] ?? [], [...angles], { relative: 1e-9, absolute: 1e-12 });
    const x = cases[0]?.x ?? new Float32Array();
    expectClose(
      results[0]?.more[0] ?? [],
      [...x].map((v, i) => (i % 2 ? -2 + 3 * v : 1 + 0.5 * v)),
      { relative: 1e-12 },
    );
    expectClose(results[0]?.more[1] ?? [], [...x], { relative: 1e-12 });
  },
);

test("every operation and every activation has its line of PyTorch", () => {
  const used = new Set(
    cases.flatMap(({ velocity }) =>
      (velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations).map(({ op }) => op),
    ),
  );
  expect([...used].sort()).toEqual([...operationRules.keys()].sort());
  expect(Object.keys(pytorchTexts)).toEqual([...operationRules.keys()]);
});

test("what cannot be exported says so", () => {
  const wgsl = pf.wgslVelocity({
    dim: 1,
    code: "fn velocity(t: f32, x: array<f32, 1>) -> array<f32, 1> { return x; }",
  });
  expect(() => toPyTorch({ velocitySpec: wgsl })).toThrow(/wgslVelocity has no PyTorch module/);
  expect(() => toPyTorch({} as never)).toThrow(/the first argument is .*, but it is a flow/);
  const velocitySpec = pf.mlp({ dim: 1, hidden: [] });
  expect(() => toPyTorch({ velocitySpec }, { file: 3 as never })).toThrow(/file is 3, but it is a file's name/);
  expect(() => toPyTorch({ velocitySpec }, { files: "a" } as never)).toThrow(/files/);
  const units = { mean: [1], scale: [2] };
  expect(() => toPyTorch({ velocitySpec }, { context: units })).toThrow(
    /context has 1 numbers, but the network takes 0/,
  );
  expect(() => toPyTorch({ velocitySpec }, { context: { ...units, scale: [0] } })).toThrow(/scale/);
  expect(() => toPyTorch({ velocitySpec }, { context: 3 as never })).toThrow(/context takes an options object/);
});

test("the command line writes the module of a flow's file", () =>
  inFolder(async (folder) => {
    const [file, module] = [join(folder, "own.safetensors"), join(folder, "own.py")];
    const { velocity, weights } = cases[1] as (typeof cases)[number];
    writeFileSync(file, saveFlow(velocity, weights, { distribution: "gaussian" }, undefined));
    const { code, out } = await run(["export", file, "--pytorch", "-o", module]);
    expect([code, out]).toEqual([0, `wrote ${module}, which reads its weights from own.safetensors\n`]);
    expect(readFileSync(module, "utf8")).toBe(toPyTorch({ velocitySpec: velocity }, { file: "own.safetensors" }));
    const asked = await run(["export", file, "-o", module]);
    expect(asked.code).toBe(2);
    expect(asked.err).toMatch(/add --pytorch/);
    expect((await run(["export", file, "--pytorch", "-o", file])).err).toMatch(/own\.safetensors/);
  }));

test("the module brings a context from the units of the data to those of the network", () =>
  inFolder(async (folder) => {
    const { velocity, weights } = cases[1] as (typeof cases)[number];
    const normalization = { mean: [15, -2], scale: [8, 0.5] };
    const conditions = JSON.stringify({ labels: "kind", context: { names: ["degrees", "wind"], normalization } });
    const bytes = saveFlow(velocity, weights, { distribution: "gaussian" }, undefined);
    const { tensors, metadata } = pf.decodeSafetensors(bytes);
    const own = pf.encodeSafetensors(tensors, { ...metadata, "pushforward.conditions": conditions });
    writeFileSync(join(folder, "own.safetensors"), own);
    const { out } = await run(["export", join(folder, "own.safetensors"), "--pytorch", "-o", "-"]);
    expect(out).toContain("context is [n, 2]: context_from_data(c) of degrees, wind.");
    expect(out).toContain("return (c - c.new_tensor([15, -2])) / c.new_tensor([8, 0.5])");
    const info = await run(["info", join(folder, "own.safetensors")]);
    expect(info.out).toMatch(/context degrees +mean 15, scale 8\ncontext wind +mean -2, scale 0\.5\n/);
  }));
