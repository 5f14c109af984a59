import type { Normalization } from "../data/normalization.ts";
import type { Transform } from "../data/transform.ts";
import { invalid, PushforwardError } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { checkNormalization } from "../flow/source.ts";
import { item, must } from "../must.ts";
import { mlpOperations } from "../network/mlp.ts";
import { networkOf } from "../network/of.ts";
import { pytorchTexts } from "../network/operations/index.ts";
import { pythonString } from "../network/operations/pytorch.ts";
import { ofEach } from "../network/operations/rule.ts";
import { checked, type Schema } from "../options/schema.ts";
import { checkKeys, show } from "../options.ts";
import { checkVelocity, type FieldVelocity, type TrainableVelocity } from "../velocity/field.ts";
import { contextTexts, unitTexts } from "./units.ts";

export interface PyTorchOptions {
  /** The file that the module's `load()` reads unless it is given another one: what `flow.save()` made. Default "flow.safetensors". */
  file?: string;
  /**
   * Where the network gets its context as (c − mean) / scale: the mean and scale of its numbers, or of the first of them, and what all
   * are called. The module has `context_from_data` for those that have a mean.
   */
  context?: Normalization & { readonly names?: readonly string[] };
}

const fields = {
  file: {
    check(name, value) {
      if (typeof value !== "string" || value === "")
        throw invalid(`${name} is ${show(value)}, but it is a file's name`);
      return value;
    },
    fallback: "flow.safetensors",
  },
  context: {
    check(name, value) {
      checkKeys(name, value as object, ["mean", "scale", "names"]);
      const { names = [], ...units } = value as NonNullable<PyTorchOptions["context"]>;
      return { ...checkNormalization(units, units.mean?.length ?? 0), names };
    },
  },
} satisfies Schema<PyTorchOptions>;

/** What is exported: a flow, or the parts of one. */
export type Exported =
  | Flow
  | { velocitySpec: FieldVelocity; normalization?: Normalization | undefined; transform?: Transform | undefined };

/**
 * The text of a Python module that PyTorch runs: `class Velocity(torch.nn.Module)` with `forward(t, x, label=None, context=None)`,
 * which is this flow's u_t(x), and `load(path)`, which gives it the weights of the file that `flow.save()` made. It needs PyTorch 1.10
 * or newer and nothing else; its `state_dict` has the names of that file. x is in the flow's own space; with a normalization or a
 * transform `to_data(x)` and `from_data(x)` change between it and data units.
 *
 * @throws PushforwardError `unsupported` for a wgslVelocity, `invalid-argument` for the options.
 * @example
 * import { Flow, mlp, openGpu } from "pushforward";
 * import { toPyTorch } from "pushforward/pytorch";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64] }) });
 * const python = toPyTorch(flow); // write it to flow.py, and await flow.save() to flow.safetensors
 * gpu.dispose();
 */
export function toPyTorch(flow: Exported, options: PyTorchOptions = {}): string {
  const what = "toPyTorch";
  const { file, context: units } = checked(what, fields, options);
  const { velocitySpec: velocity, normalization, transform } = flow ?? {};
  if (velocity === undefined) throw invalid(`${what}: the first argument is ${show(flow)}, but it is a flow`);
  checkVelocity(what, velocity);
  if (velocity.kind === "wgsl")
    throw new PushforwardError("unsupported", `${what}: a wgslVelocity has no PyTorch module: it is code of your own`);
  const { lines, layers, definitions, last } = body(velocity);
  const { classes, context } = velocity;
  if (units && units.mean.length > context)
    throw invalid(
      `${what}: context has ${units.mean.length} numbers, but the network takes ${context}: give it as many at most`,
    );
  return `${[
    `"""A velocity field u_t(x) of ${velocity.dim} dimensions, exported by pushforward.`,
    "",
    `    velocity = load(${pythonString(file)})`,
    `    u = velocity(t, x${classes > 0 ? ", label" : ""}${context > 0 ? ", context=context" : ""})`,
    "",
    "t is a number or a tensor [n], x is [n, dim] in the flow's own space; t runs from 0 (source) to 1 (data).",
    ...(classes > 0
      ? [`label is a tensor of integers [n] from 0 to ${classes - 1}; None, or -1 for a row, is the null class.`]
      : []),
    ...(context > 0 ? [contextText(context, units ?? { mean: [], scale: [] })] : []),
    '"""',
    "import json",
    ...(definitions.some((text) => text.includes("math.")) ? ["import math"] : []),
    "",
    "import torch",
    "from torch import nn",
    "from torch.nn import functional as F",
    ...(normalization || transform ? unitTexts(velocity.dim, normalization, transform) : []),
    ...(units && units.mean.length > 0 ? contextTexts(units) : []),
    ...definitions.flatMap((text) => ["", "", ...text.split("\n")]),
    moduleText.trimEnd(),
    ...layers.map((line) => `        ${line}`),
    "",
    "    def forward(self, t, x, label=None, context=None):",
    "        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x)).unsqueeze(1)",
    ...(classes > 0
      ? [
          `        y = x.new_zeros(len(x), ${classes})`,
          "        if label is not None:",
          `            y = (label.unsqueeze(1) == torch.arange(${classes}, device=x.device)).to(x.dtype)`,
        ]
      : []),
    ...lines.map((line) => `        ${line}`),
    `        return ${last}`,
    loadText(file).trimEnd(),
  ].join("\n")}\n`;
}

/** What the context is, for who reads the module. */
function contextText(width: number, { mean, names = [] }: NonNullable<PyTorchOptions["context"]>): string {
  const called = (some: readonly string[]) => some.map((name) => JSON.stringify(name).slice(1, -1)).join(", ");
  const [scaled, others] = [called(names.slice(0, mean.length)), called(names.slice(mean.length))];
  const parts = [
    ...(mean.length > 0 ? [`context_from_data(c)${scaled && ` of ${scaled}`}`] : []),
    ...(others ? [others] : []),
  ];
  return `context is [n, ${width}]${parts.length > 0 ? `: ${parts.join(", then ")}` : ""}.`;
}

/** Layers lie under their names: "blocks.0.fc1" is module "fc1" of module "0" of module "blocks", as in the weights' file. */
const moduleText = `

def path_of(name):
    """Where the module of a name lies; what nn.Module has for itself gets an underscore."""
    taken = {"weight", "bias", ""}.union(dir(nn.Module()))
    return [part + "_" if part in taken else part for part in name.split(".")]


class Velocity(nn.Module):
    def put(self, name, module):
        at = self
        *folders, last = path_of(name)
        for folder in folders:
            if folder not in at._modules:
                at.add_module(folder, nn.Module())
            at = at._modules[folder]
        for key, child in at._modules.get(last, nn.Module())._modules.items():
            module.add_module(key, child)
        at.add_module(last, module)

    def layer(self, name, v):
        return self.get_submodule(".".join(path_of(name)))(v)

    def __init__(self):
        super().__init__()
`;

const loadText = (file: string) => `

def read_safetensors(path):
    """The tensors of a .safetensors file by name: a length, a header of JSON, and the bytes."""
    types = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in types:
            continue
        start, end = entry["data_offsets"]
        dtype = types[entry["dtype"]]
        tensors[name] = torch.frombuffer(data[start:end], dtype=dtype).reshape(entry["shape"])
    return tensors


def load(path=${pythonString(file)}):
    """The velocity with the weights of a file."""
    velocity = Velocity()
    weights = {}
    for name, tensor in read_safetensors(path).items():
        *layer, parameter = name.split(".")
        weights[".".join(path_of(".".join(layer)) + [parameter])] = tensor
    wanted = velocity.state_dict()
    velocity.load_state_dict({name: weights[name] for name in wanted})
    return velocity.eval()
`;

/** The lines that make the layers, those of `forward`, what these call, and the name of the result. */
function body(velocity: TrainableVelocity): {
  lines: string[];
  layers: string[];
  definitions: string[];
  last: string;
} {
  const operations = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
  const shapes = new Map(networkOf(velocity).tensors.map(({ name, shape }) => [name, shape]));
  const [lines, layers, names]: [string[], string[], string[]] = [[], [], []];
  const definitions = new Set<string>();
  for (const [i, operation] of operations.entries()) {
    const write = must(pytorchTexts[operation.op], `how PyTorch writes ${operation.op}`);
    const shape = "name" in operation && shapes.get(`${operation.name}.weight`);
    const of = ofEach(operation.of, (k) => item(names, k));
    const { value, layer, definition } = write(operation, of, shape ? item(shape, shape.length - 1) : 0);
    if (layer !== undefined) layers.push(layer);
    if (definition !== undefined) definitions.add(definition);
    if (operation.op === "input") names.push(value);
    else {
      names.push(`h${i}`);
      lines.push(`h${i} = ${value}`);
    }
  }
  return { lines, layers, definitions: [...definitions], last: item(names, names.length - 1) };
}
