"""Writes test/gpu/pytorch-weights.ts: small networks as the libraries of docs/from-pytorch.md build them, with weights from PyTorch,
and their velocities and divergences in f64. Run it with a Python that has torch (Debian: python3-torch), from the repository's root."""
import base64
import json
import math
import struct

import torch
from torch import nn


class Concat(nn.Module):
    """A field that joins its inputs, in an order, with cosine and sine features of time or with t itself."""

    def __init__(self, name, order, sizes, activation, freqs=0):
        super().__init__()
        self.order, self.freqs = order, torch.arange(1, freqs + 1) * math.pi if freqs else None
        parts = []
        for a, b in zip(sizes, sizes[1:]):
            parts += [nn.Linear(a, b), activation()]
        holder = self
        *folders, last = name.split(".")
        for folder in folders:
            holder.add_module(folder, nn.Module())
            holder = holder._modules[folder]
        self.stack = [nn.Sequential(*parts[:-1])]
        holder.add_module(last, self.stack[0])

    def forward(self, t, x, c=None):
        if self.freqs is None:
            time = t[:, None]
        else:
            angles = self.freqs.to(x.dtype) * t[:, None]
            time = torch.cat((angles.cos(), angles.sin()), -1)
        return self.stack[0](torch.cat([{"t": time, "x": x, "c": c}[key] for key in self.order], -1))


class ConcatSquash(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self._layer, self._hyper_bias, self._hyper_gate = nn.Linear(a, b), nn.Linear(1, b, bias=False), nn.Linear(1, b)

    def forward(self, t, x):
        return self._layer(x) * torch.sigmoid(self._hyper_gate(t[:, None])) + self._hyper_bias(t[:, None])


class FfjordNet(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        sizes = [dim, *hidden, dim]
        self.layers = nn.ModuleList([ConcatSquash(a, b) for a, b in zip(sizes, sizes[1:])])

    def forward(self, t, x, c=None):
        for i, layer in enumerate(self.layers):
            x = layer(t, x)
            if i < len(self.layers) - 1:
                x = torch.tanh(x)
        return x


class Swish(nn.Module):
    def forward(self, v):
        return torch.sigmoid(v) * v


def safetensors(tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        values = tensor.detach().float().flatten().tolist()
        part = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


torch.manual_seed(19)
n = 5
ffjord = FfjordNet(2, [6, 5])
# name: the field, its dim, its context, the prefix of its names, the time at which its source is when it runs from the data, what else is in the file
cases = {
    "torchcfm": (Concat("net", "xt", [3, 6, 6, 6, 2], nn.SELU), 2, 0, "", None, {}),
    "zuko": (Concat("transform.ode", "txc", [2 + 2 + 6, 6, 5, 2], nn.ELU, 3), 2, 2, "", 1, {"transform.freqs": torch.ones(3), "base.loc": torch.zeros(2)}),
    "lampe": (Concat("net", "xct", [3 + 2 + 6, 6, 5, 3], nn.ELU, 3), 3, 2, "", 1, {"freqs": torch.ones(3), "zeros": torch.zeros(3)}),
    "flow_matching": (Concat("main", "xt", [3, 6, 5, 6, 5, 2], Swish), 2, 0, "", None, {}),
    "ffjord": (ffjord, 2, 0, "chain.0.odefunc.diffeq.", 0.5, {"chain.0.sqrt_end_time": torch.tensor(math.sqrt(0.5))}),
}
text = []
for name, (field, dim, context, prefix, end, others) in cases.items():
    for parameter in field.parameters():
        parameter.data = (parameter.data * 1.5).float()
    tensors = {prefix + key: value for key, value in field.state_dict().items()} | others
    field = field.double()
    x = torch.randn(n, dim).float().double().requires_grad_(True)
    t = torch.rand(n).float().double()
    c = torch.randn(n, context).float().double() if context else None
    u = field(t, x, c) if end is None else -end * field(end * (1 - t), x, c)
    divergence = sum(torch.autograd.grad(u[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(dim))
    rows = {"dim": dim, "context": context, "x": x, "t": t, "c": c if context else [], "velocity": u, "divergence": divergence}
    lines = [f"  {'given' if key == 'c' else key}: {json.dumps(value.flatten().tolist() if torch.is_tensor(value) else value)}," for key, value in rows.items()]
    text.append(f"export const {name.replace('_m', 'M')}: PyTorchCase = {{\n  file: \"{base64.b64encode(safetensors(tensors)).decode()}\",\n" + "\n".join(lines) + "\n};\n")
with open("test/gpu/pytorch-weights.ts", "w") as out:
    out.write("/** Made by scripts/pytorch-weights.py with PyTorch " + torch.__version__ + ": a field's safetensors in base64, and its figures in f64 at rows x, times t and contexts, from the source at 0 to the data at 1. */\n")
    out.write("export interface PyTorchCase {\n  file: string;\n  dim: number;\n  context: number;\n  x: number[];\n  t: number[];\n  given: number[];\n  velocity: number[];\n  divergence: number[];\n}\n\n" + "\n".join(text))
