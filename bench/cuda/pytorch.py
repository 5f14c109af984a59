#!/usr/bin/env python3
"""The workloads of workloads.json in PyTorch: eager and torch.compile, fp32 and TF32, on a CUDA device or the CPU.

Weights and checks come from the folder that run.mjs writes (--folder). Without it the weights are drawn as torch.nn.Linear draws
them, uniform in +-1/sqrt(inputs), from torch.manual_seed(1), and nothing is checked. Figures go to --json, a line each to stderr.

What was done to make it fast: no nn.Module and no autograd where none is needed (inference_mode); the time enters as a bias of the
first layer, not as a column joined to the state; tangents are pushed forward through the layers by hand, all of them in one batched
product beside the value (no torch.func overhead, no d reverse passes), and only in stages that have a weight; the first layer's
tangents are columns of its weight, the last layer gives only the trace; Adam is fused; torch.compile sees whole trajectories, as it
is and with CUDA graphs (mode "reduce-overhead").
"""

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

Layers = list[tuple[Tensor, Tensor]]

# Deviation from pushforward's results, relative to 1 + |value|. TF32 keeps 10 bits of a product's factors.
TOLERANCE = {"fp32": 1e-4, "tf32": 3e-2}


def load_layers(folder: Path | None, name: str, spec: dict, device: torch.device) -> Layers:
    """(weight [out, in], bias [out]) of each layer; the input is [x, t]."""
    sizes = [spec["dim"] + 1, *spec["hidden"], spec["dim"]]
    if folder is not None:
        from safetensors.torch import load_file

        tensors = load_file(folder / f"{name}.safetensors")
        pairs = [(tensors[f"net.{2 * l}.weight"], tensors[f"net.{2 * l}.bias"]) for l in range(len(sizes) - 1)]
    else:
        generator = torch.Generator().manual_seed(1)

        def uniform(*shape: int, inputs: int) -> Tensor:
            return (2 * torch.rand(*shape, generator=generator) - 1) / math.sqrt(inputs)

        pairs = [(uniform(o, i, inputs=i), uniform(o, inputs=i)) for i, o in zip(sizes, sizes[1:])]
    return [(weight.to(device), bias.to(device)) for weight, bias in pairs]


def first_layer(layers: Layers, x: Tensor, t: Tensor | float) -> Tensor:
    """W [x, t] + b; t is a number, or a column of one time per row."""
    weight, bias = layers[0]
    dim = x.shape[-1]
    return functional.linear(x, weight[:, :dim], bias) + t * weight[:, dim]


def velocity(layers: Layers, x: Tensor, t: Tensor | float) -> Tensor:
    """u_t(x), [n, dim]."""
    z = first_layer(layers, x, t)
    for weight, bias in layers[1:]:
        z = functional.linear(functional.silu(z), weight, bias)
    return z


def velocity_and_divergence(layers: Layers, x: Tensor, t: float, probes: Tensor | None) -> tuple[Tensor, Tensor]:
    """u_t(x) and its divergence [n]: the trace of the Jacobian, or the mean of <v, J v> over the probes [probes, n, dim]."""
    dim = x.shape[-1]
    first = layers[0][0][:, :dim]
    z = first_layer(layers, x, t)
    # J e_k of the first layer is column k of its weight, the same for every particle.
    tangent = first.t().unsqueeze(1) if probes is None else probes @ first.t()
    for weight, bias in layers[1:-1]:
        gate = torch.sigmoid(z)
        h = z * gate
        tangent = ((gate + h * (1 - gate)) * tangent) @ weight.t()
        z = functional.linear(h, weight, bias)
    gate = torch.sigmoid(z)
    h = z * gate
    tangent = (gate + h * (1 - gate)) * tangent
    weight, bias = layers[-1]
    if probes is None:
        trace = (tangent * weight.unsqueeze(1)).sum((0, 2))
    else:
        trace = (probes * (tangent @ weight.t())).sum((0, 2)) / probes.shape[0]
    return functional.linear(h, weight, bias), trace


def sample(layers: Layers, x: Tensor, method: str, steps: int) -> Tensor:
    """The state at t = 1 of particles that are at x at t = 0."""
    h = 1 / steps
    for k in range(steps):
        u = velocity(layers, x, k * h)
        if method == "midpoint":
            u = velocity(layers, x + h / 2 * u, (k + 0.5) * h)
        x = x + h * u
    return x


def log_likelihood(layers: Layers, x: Tensor, method: str, steps: int, probes: Tensor | None) -> Tensor:
    """log p_1(x) in nats under a standard Gaussian source, [n]."""
    h = -1 / steps
    g = torch.zeros(x.shape[0], device=x.device)
    for k in range(steps):
        t = 1 + k * h
        y = x
        if method == "midpoint":
            y, t = x + h / 2 * velocity(layers, x, t), t + h / 2
        u, divergence = velocity_and_divergence(layers, y, t, probes)
        x, g = x + h * u, g - h * divergence
    return -0.5 * (x * x).sum(1) - x.shape[1] / 2 * math.log(2 * math.pi) - g


def flow_matching_loss(layers: Layers, x1: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Mean squared error against x1 - x0 at x_t = t x1 + (1 - t) x0."""
    target = x1 - x0
    return (velocity(layers, x0 + t * target, t) - target).square().mean()


def signs(probes: int, n: int, dim: int, device: torch.device) -> Tensor:
    return torch.randint(0, 2, (probes, n, dim), device=device).float() * 2 - 1


class Job:
    """One workload in one mode: run() does it once, without waiting for the device."""

    def __init__(self, work: dict, layers: Layers, quick: bool, compiled: Callable):
        self.work, self.n, self.device = work, work["quick" if quick else "n"], layers[0][0].device
        self.layers = [tuple(t.clone() for t in pair) for pair in layers]
        self.dim = layers[-1][0].shape[0]
        self.compiled = compiled
        self.runs_per_call = 1
        if work["kind"] == "train":
            self.runs_per_call = 2 if quick else work["stepsPerRun"]
            self.parameters = [t.requires_grad_() for pair in self.layers for t in pair]
            fused = {"fused": True} if self.device.type == "cuda" else {}
            self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3, **fused)
            self.data = torch.randn(10_000, self.dim, device=self.device) * 0.3 + 1
            if work["objective"] == "flow-matching":
                self.loss = compiled(flow_matching_loss)
            else:
                self.loss = compiled(lambda l, x: -log_likelihood(l, x, work["method"], work["steps"], None).mean())
        elif work["kind"] == "sample":
            self.solve = compiled(lambda l, x: sample(l, x, work["method"], work["steps"]))
        else:
            self.solve = compiled(lambda l, x, v: log_likelihood(l, x, work["method"], work["steps"], v))
            # Both sides are given their data in host memory and return log p there.
            self.x = torch.randn(self.n, self.dim)

    def evaluate(self, x: Tensor, probes: Tensor | None) -> Tensor:
        with torch.inference_mode():
            if self.work["kind"] == "sample":
                return self.solve(self.layers, x)
            return self.solve(self.layers, x, probes)

    def train_step(self) -> None:
        rows = torch.randint(0, self.data.shape[0], (self.n,), device=self.device)
        x1 = self.data[rows]
        if self.work["objective"] == "flow-matching":
            x0 = torch.randn_like(x1)
            loss = self.loss(self.layers, x1, x0, torch.rand(self.n, 1, device=self.device))
        else:
            loss = self.loss(self.layers, x1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def run(self) -> None:
        kind = self.work["kind"]
        if kind == "train":
            for _ in range(self.runs_per_call):
                self.train_step()
        elif kind == "sample":
            self.evaluate(torch.randn(self.n, self.dim, device=self.device), None)
        else:
            count = self.work["probes"]
            probes = signs(count, self.n, self.dim, self.device) if count else None
            self.evaluate(self.x.to(self.device), probes).cpu()

    def loss_and_gradient(self, *inputs: Tensor) -> Tensor:
        """The loss and the gradient of every parameter, in the order of the layers, as one vector."""
        loss = self.loss(self.layers, *inputs)
        gradients = torch.autograd.grad(loss, self.parameters)
        return torch.cat([loss.detach().reshape(1), *(g.flatten() for g in gradients)])

    def deviation(self, checks: dict[str, Tensor]) -> float | None:
        """Largest difference from pushforward's results on the checked particles, relative to 1 + |value|."""
        given = {part: checks.get(f"{self.work['id']}/{part}") for part in ("x", "result", "probes", "x0", "t")}
        given = {part: tensor.to(self.device) for part, tensor in given.items() if tensor is not None}
        if "result" not in given:
            return None
        if self.work["kind"] == "train":
            got = self.loss_and_gradient(*(given[part] for part in ("x", "x0", "t") if part in given))
        else:
            got = self.evaluate(given["x"], given.get("probes"))
        return ((got - given["result"]).abs() / (1 + given["result"].abs())).max().item()


def measure(job: Job, rounds: int) -> list[float]:
    """Seconds per run (per training step), after two runs that compile and warm up."""
    synchronize = torch.cuda.synchronize if job.device.type == "cuda" else lambda: None
    for _ in range(2):
        job.run()
    synchronize()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        job.run()
        synchronize()
        times.append((time.perf_counter() - start) / job.runs_per_call)
    return times


def modes_for(device: torch.device) -> dict[str, Callable]:
    modes: dict[str, Callable] = {"eager": lambda f: f, "compile": lambda f: torch.compile(f, dynamic=False)}
    if device.type == "cuda":
        modes["compile+graphs"] = lambda f: torch.compile(f, mode="reduce-overhead", dynamic=False)
    return modes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="weights and checks that run.mjs wrote")
    parser.add_argument("--json", type=Path, help="where the figures go; default: standard output")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--modes", nargs="*", help="of eager, compile, compile+graphs; default: all that the device has")
    parser.add_argument("--only", default="", help="workloads whose id contains this")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    options = parser.parse_args()

    plan = json.loads(Path(__file__).with_name("workloads.json").read_text())
    device = torch.device(options.device)
    checks: dict[str, Tensor] = {}
    if options.folder is not None:
        from safetensors.torch import load_file

        checks = load_file(options.folder / "checks.safetensors")
    modes = {name: make for name, make in modes_for(device).items() if not options.modes or name in options.modes}
    results, wrong = [], []
    for work in plan["workloads"]:
        if options.only not in work["id"]:
            continue
        torch.manual_seed(1)
        layers = load_layers(options.folder, work["network"], plan["networks"][work["network"]], device)
        for precision in ["fp32", "tf32"] if device.type == "cuda" else ["fp32"]:
            torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
            for mode, compiled in modes.items():
                torch._dynamo.reset()
                label = f"{work['id']} {mode} {precision}"
                job = Job(work, layers, options.quick, compiled)
                deviation = job.deviation(checks)
                # A wrong result has no time.
                if deviation is not None and not deviation <= TOLERANCE[precision]:
                    wrong.append(f"{label}: deviates by {deviation:.1e}, at most {TOLERANCE[precision]:.0e} is expected")
                    continue
                times = measure(job, 3 if options.quick else options.rounds)
                median = statistics.median(times)
                results.append(
                    {
                        "id": work["id"],
                        "contender": "pytorch",
                        "mode": mode,
                        "precision": precision,
                        "n": job.n,
                        "seconds": {"median": median, "best": min(times), "worst": max(times)},
                        "particlesPerSecond": job.n / median,
                        "deviation": deviation,
                    }
                )
                shown = "unchecked" if deviation is None else f"deviation {deviation:.1e}"
                print(f"{label}: {1000 * median:.3f} ms, {job.n / median:.4g} particles/s, {shown}", file=sys.stderr)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    report = {
        "contender": "pytorch",
        "version": torch.__version__,
        "device": name,
        "cuda": torch.version.cuda,
        "date": time.strftime("%Y-%m-%d"),
        "quick": options.quick,
        "results": results,
    }
    text = json.dumps(report, indent=2)
    if options.json is None:
        print(text)
    else:
        options.json.write_text(text + "\n")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
