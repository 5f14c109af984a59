"""What pytorch.ts asks of PyTorch on the processor: a request a line in, an answer a line out, arrays in base64."""

import base64
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "card-kit"))
from pytorch import flow_matching_loss, log_likelihood


def array(text, *shape):
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32).reshape(shape)


def layers_of(network):
    sizes = [network["dim"] + 1, *network["hidden"], network["dim"]]
    names = [f"net.{2 * layer}" for layer in range(len(sizes) - 1)]
    weights = network["weights"]
    return [
        (array(weights[f"{name}.weight"], o, i), array(weights[f"{name}.bias"], o))
        for name, i, o in zip(names, sizes, sizes[1:])
    ]


def velocity(layers, x, t):
    """The time as a bias of the first layer, activations in place."""
    dim = x.shape[1]
    (weight, bias), *others = layers
    z = torch.addmm(bias + t * weight[:, dim], x, weight[:, :dim].t())
    for weight, bias in others:
        z = torch.addmm(bias, functional.silu(z, inplace=True), weight.t())
    return z


def sample(layers, x, method, steps):
    h = 1 / steps
    for k in range(steps):
        u = velocity(layers, x, k * h)
        if method == "midpoint":
            u = velocity(layers, torch.add(x, u, alpha=h / 2), (k + 0.5) * h)
        x = torch.add(x, u, alpha=h)
    return x


def solver(work):
    """Rows in, rows out."""
    layers, kind = layers_of(work["network"]), work["kind"]
    if kind == "velocity":
        return lambda x: velocity(layers, x, work["t"])
    if kind == "sample":
        return lambda x: sample(layers, x, work["method"], work["steps"])
    divergence = work["divergence"]

    def solve(x):
        probes = None
        if divergence != "exact":
            probes = torch.randint(0, 2, (divergence["probes"], *x.shape)).float().mul_(2).sub_(1)
        return log_likelihood(layers, x, work["method"], work["steps"], probes)

    return solve


def inference(work):
    """In as many rows at a time as are fastest: small ones stay in the caches."""
    solve, dim = solver(work), work["network"]["dim"]
    x = array(work["x"], work["n"], dim)

    def program(rows):
        return torch.cat([solve(part) for part in x.split(rows)])

    def seconds(rows):
        start = time.perf_counter()
        program(rows)
        return time.perf_counter() - start

    with torch.inference_mode():
        choices = sorted({min(work["n"], 1 << power) for power in (7, 8, 9, 10, 11, 12, 14, 16)})
        best = min(choices, key=lambda rows: min(seconds(rows), seconds(rows)))

    def run():
        with torch.inference_mode():
            return program(best)

    return run


def training(work):
    layers = [tuple(t.clone().requires_grad_() for t in pair) for pair in layers_of(work["network"])]
    optimizer = torch.optim.Adam([t for pair in layers for t in pair], lr=1e-3, foreach=True)
    batch, dim = work["batch"], work["network"]["dim"]
    data = array(work["data"], -1, dim)

    def run():
        for _ in range(work["stepsPerRun"]):
            x1 = data[torch.randint(0, len(data), (batch,))]
            loss = flow_matching_loss(layers, x1, torch.randn_like(x1), torch.rand(batch, 1))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return loss.detach().reshape(1)

    return run


torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.set_flush_denormal(True)
# Debian's PyTorch uses the BLAS that the system has, and one of them was not written to be fast
libraries = Path("/proc/self/maps").read_text() if os.path.exists("/proc/self/maps") else ""
is_slow = "libblas.so" in libraries and "openblas" not in libraries and "mkl" not in libraries
first = {"version": torch.__version__, "threads": torch.get_num_threads()}
if is_slow:
    first["error"] = "its BLAS is the reference implementation: install libopenblas0-pthread, which is ten times as fast"
print(json.dumps(first), flush=True)
programs, results = {}, {}
for line in sys.stdin:
    request = json.loads(line)
    answer, own = {}, request["id"]
    try:
        if request["do"] == "prepare":
            work = request["work"]
            programs[own] = training(work) if work["kind"] == "train" else inference(work)
        elif request["do"] == "run":
            results[own] = programs[own]()
        elif request["do"] == "result":
            answer["values"] = base64.b64encode(results[own].contiguous().numpy().tobytes()).decode()
        else:
            programs.pop(own, None)
            results.pop(own, None)
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
