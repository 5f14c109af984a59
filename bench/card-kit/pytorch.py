#!/usr/bin/env python3
"""The works of works.json in PyTorch on the card, with pushforward's own weights: eager, torch.compile, CUDA graphs; fp32 (TF32
off), TF32, bf16. At its best: time as a bias of the first layer, tangents pushed
forward by hand in one batched product beside the value, only in stages with a weight, fused Adam. Results are written as they
come; the most important works first; what the budget does not allow is listed as not run.

--warm only compiles (fills Inductor's cache on disk), so that the timed run finds everything compiled.
"""

import argparse
import json
import math
import os
import statistics
import struct
import sys
import time
import traceback
from pathlib import Path

STARTED = time.perf_counter()

import torch
import torch.nn.functional as functional


def elapsed():
    return time.perf_counter() - STARTED


def log(text):
    print(f"[{elapsed():.1f}s] {text}", flush=True)


def read_tensors(path):
    """A safetensors file without the package; f32 only, which is all that we write."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        raw = bytearray(data[8 + length + begin : 8 + length + end])
        flat = torch.frombuffer(raw, dtype=torch.float32) if len(raw) else torch.empty(0)
        tensors[name] = flat.clone().reshape(entry["shape"])
    return tensors


def load_layers(folder, name, spec, device):
    """(weight [out, in], bias [out]) of each layer; the input is [x, t]."""
    sizes = [spec["dim"] + 1, *spec["hidden"], spec["dim"]]
    path = folder / f"{name}.safetensors" if folder else None
    if path and path.exists():
        tensors = read_tensors(path)
        pairs = [(tensors[f"net.{2 * l}.weight"], tensors[f"net.{2 * l}.bias"]) for l in range(len(sizes) - 1)]
    else:
        log(f"no weights for {name}: drawn at random")
        generator = torch.Generator().manual_seed(1)

        def uniform(*shape, inputs):
            return (2 * torch.rand(*shape, generator=generator) - 1) / math.sqrt(inputs)

        pairs = [(uniform(o, i, inputs=i), uniform(o, inputs=i)) for i, o in zip(sizes, sizes[1:])]
    return [(weight.to(device), bias.to(device)) for weight, bias in pairs]


def first_layer(layers, x, t):
    weight, bias = layers[0]
    dim = x.shape[-1]
    x = x.to(weight.dtype)
    if isinstance(t, torch.Tensor):
        t = t.to(weight.dtype)
    return functional.linear(x, weight[:, :dim], bias) + t * weight[:, dim]


def velocity(layers, x, t):
    z = first_layer(layers, x, t)
    for weight, bias in layers[1:]:
        z = functional.linear(functional.silu(z), weight, bias)
    return z.float()


def velocity_and_divergence(layers, x, t, probes):
    dim = x.shape[-1]
    dtype = layers[0][0].dtype
    first = layers[0][0][:, :dim]
    z = first_layer(layers, x, t)
    tangent = first.t().unsqueeze(1) if probes is None else probes.to(dtype) @ first.t()
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
        trace = (tangent.float() * weight.float().unsqueeze(1)).sum((0, 2))
    else:
        trace = (probes * (tangent @ weight.t()).float()).sum((0, 2)) / probes.shape[0]
    return functional.linear(h, weight, bias).float(), trace


def sample(layers, x, method, steps):
    h = 1 / steps
    for k in range(steps):
        u = velocity(layers, x, k * h)
        if method == "midpoint":
            u = velocity(layers, x + h / 2 * u, (k + 0.5) * h)
        x = x + h * u
    return x


def log_likelihood(layers, x, method, steps, probes):
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


def flow_matching_loss(layers, x1, x0, t):
    target = x1 - x0
    return (velocity(layers, x0 + t * target, t) - target).square().mean()


class Job:
    """One work in one mode and precision."""

    def __init__(self, work, layers, n, steps_per_run, wrap, dtype, capturable):
        self.work, self.n, self.device, self.dtype = work, n, layers[0][0].device, dtype
        self.dim = layers[-1][0].shape[0]
        self.per_call = 1
        self.chunk = min(n, work.get("torchChunk", n))
        kind = work["kind"]
        cast = (lambda ls: [(w.to(dtype), b.to(dtype)) for w, b in ls]) if dtype != torch.float32 else (lambda ls: ls)
        if kind == "train":
            self.per_call = steps_per_run
            self.layers = [tuple(t.clone().requires_grad_() for t in pair) for pair in layers]
            self.parameters = [t for pair in self.layers for t in pair]
            extra = {"fused": True, "capturable": capturable} if self.device.type == "cuda" else {}
            self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3, **extra)
            self.data = torch.randn(10_000, self.dim, device=self.device) * 0.3 + 1
            if work["objective"] == "flow-matching":
                self.loss = wrap(lambda l, x1, x0, t: flow_matching_loss(cast(l), x1, x0, t))
            else:
                self.loss = wrap(lambda l, x: -log_likelihood(cast(l), x, work["method"], work["steps"], None).mean())
        else:
            self.layers = cast(layers)
            if kind == "sample":
                self.solve = wrap(lambda l, x: sample(l, x, work["method"], work["steps"]))
            else:
                self.solve = wrap(lambda l, x, v: log_likelihood(l, x, work["method"], work["steps"], v))
                self.x = torch.randn(self.n, self.dim)
                if self.device.type == "cuda":
                    self.x = self.x.pin_memory()
        self.graph = None

    def evaluate(self, x, probes):
        with torch.inference_mode():
            if self.work["kind"] == "sample":
                return self.solve(self.layers, x)
            return self.solve(self.layers, x, probes)

    def train_step(self):
        rows = torch.randint(0, self.data.shape[0], (self.n,), device=self.device)
        x1 = self.data[rows]
        if self.work["objective"] == "flow-matching":
            loss = self.loss(self.layers, x1, torch.randn_like(x1), torch.rand(self.n, 1, device=self.device))
        else:
            loss = self.loss(self.layers, x1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def capture(self):
        """The whole step (draws, loss, gradient, Adam), or the whole solve, as one CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        if self.work["kind"] == "train":
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self.train_step()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.train_step()
        else:
            static = torch.randn(self.chunk, self.dim, device=self.device)

            def once():
                static.normal_()
                return self.evaluate(static, None)

            with torch.cuda.stream(stream):
                for _ in range(3):
                    once()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.captured = once()
        self.graph = graph

    def run(self):
        kind = self.work["kind"]
        if kind == "train":
            for _ in range(self.per_call):
                if self.graph is not None:
                    self.graph.replay()
                else:
                    self.train_step()
            return
        if kind == "sample":
            result = torch.empty(self.n, self.dim, device=self.device) if self.chunk < self.n else None
            for first in range(0, self.n, self.chunk):
                if self.graph is not None:
                    self.graph.replay()
                    part = self.captured
                else:
                    part = self.evaluate(torch.randn(self.chunk, self.dim, device=self.device), None)
                if result is not None:
                    result[first : first + self.chunk] = part
            return
        probes = None
        if self.work["probes"] > 0:
            probes = torch.randint(0, 2, (self.work["probes"], self.n, self.dim), device=self.device).float() * 2 - 1
        self.evaluate(self.x.to(self.device, non_blocking=True), probes).cpu()

    def deviation(self, checks):
        given = {part: checks.get(f"{self.work['id']}/{part}") for part in ("x", "result", "probes", "x0", "t")}
        given = {part: tensor.to(self.device) for part, tensor in given.items() if tensor is not None}
        if "result" not in given:
            return None
        if self.work["kind"] == "train":
            loss = self.loss(self.layers, *(given[part] for part in ("x", "x0", "t") if part in given))
            gradients = torch.autograd.grad(loss, self.parameters)
            got = torch.cat([loss.detach().reshape(1), *(g.flatten() for g in gradients)])
        else:
            got = self.evaluate(given["x"], given.get("probes"))
        return ((got - given["result"]).abs() / (1 + given["result"].abs())).max().item()


TOLERANCE = {"fp32": 1e-4, "tf32": 3e-2, "bf16": 3e-1}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--works", type=Path, required=True)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget", type=float, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()

    device = torch.device(options.device)
    cuda = device.type == "cuda"
    report = {"kind": "torch", "version": torch.__version__, "cuda": torch.version.cuda, "results": [], "notRun": [], "faults": []}
    report["device"] = torch.cuda.get_device_name(device) if cuda else f"CPU, {torch.get_num_threads()} threads"
    if cuda:
        properties = torch.cuda.get_device_properties(device)
        report["properties"] = {
            name: getattr(properties, name)
            for name in ("multi_processor_count", "total_memory", "L2_cache_size", "regs_per_multiprocessor", "max_threads_per_multi_processor", "shared_memory_per_multiprocessor")
            if hasattr(properties, name)
        }

    def save():
        options.json.parent.mkdir(parents=True, exist_ok=True)
        part = options.json.with_suffix(".part")
        part.write_text(json.dumps(report, indent=1))
        os.replace(part, options.json)

    left = lambda: options.budget - elapsed()
    synchronize = torch.cuda.synchronize if cuda else (lambda: None)
    log(f"torch {torch.__version__} on {report['device']}, imported after {elapsed():.1f} s")
    save()

    def set_precision(precision):
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")

    def seconds_of(work, repeats):
        for _ in range(2):
            work()
        synchronize()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            synchronize()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    # ---- the card's ceilings as PyTorch reaches them ----
    if not options.warm:
        try:
            size = 8192 if cuda else 256
            ceilings = {}
            for precision, dtype in (("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)):
                set_precision(precision)
                a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
                ceilings[precision] = 2 * size**3 / seconds_of(lambda: a @ b, 5 if precision != "fp32" else 3)
            # the shapes of the works: many rows, narrow layers
            for width in (64, 128, 512):
                rows = (1 << 20) if cuda else 1 << 10
                for precision, dtype in (("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16)):
                    set_precision(precision)
                    x = torch.randn(rows, width, device=device, dtype=dtype)
                    w = torch.randn(width, width, device=device, dtype=dtype)
                    bias = torch.randn(width, device=device, dtype=dtype)
                    ceilings[f"linear 2^20x{width} {precision}"] = 2 * rows * width * width / seconds_of(lambda: functional.linear(x, w, bias), 5)
            half = (1 << 30) if cuda else 1 << 22
            source = torch.empty(half // 4, device=device).normal_()
            target = torch.empty_like(source)
            ceilings["copy bytes/s"] = 2 * half / seconds_of(lambda: target.copy_(source), 5)
            if cuda:
                pinned = torch.empty(1 << 26, dtype=torch.float32).pin_memory()
                big = torch.empty(1 << 26, device=device)
                ceilings["device to pinned bytes/s"] = (1 << 28) / seconds_of(lambda: pinned.copy_(big), 3)
                ceilings["device to pageable bytes/s"] = (1 << 28) / seconds_of(lambda: big.cpu(), 3)
                del pinned, big
            del source, target, a, b, x, w
            report["ceilings"] = ceilings
            log("ceilings: " + ", ".join(f"{name} {value / 1e12:.2f}T" for name, value in ceilings.items()))
        except Exception as error:
            report["ceilings"] = {"failed": str(error)}
            log(f"ceilings FAILED: {error}")
        if cuda:
            torch.cuda.empty_cache()
        save()

    plan = json.loads(options.works.read_text())
    checks = {}
    if options.folder and (options.folder / "checks.safetensors").exists():
        checks = read_tensors(options.folder / "checks.safetensors")
    works = [w for w in plan["works"] if w.get("torch", 0) > 0 and (not options.only or any(part in w["id"] for part in options.only.split(","))) and w["kind"] in ("sample", "likelihood", "train")]
    if options.quick:
        works = [w for w in works if w["quick"]]
    works.sort(key=lambda w: w["torch"])
    layers = {name: load_layers(options.folder, name, spec, device) for name, spec in plan["networks"].items()}

    def attempt(work, mode, precision):
        label = f"{work['id']} {mode} {precision}"
        set_precision(precision)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        n = work["tiny"] if options.tiny else work["n"]
        steps = 2 if options.tiny else work.get("stepsPerRun", 1)
        if mode == "compile":
            torch._dynamo.reset()
            wrap = lambda f: torch.compile(f, dynamic=False)
        elif mode == "compile+graphs":
            torch._dynamo.reset()
            wrap = lambda f: torch.compile(f, mode="reduce-overhead", dynamic=False)
        else:
            wrap = lambda f: f
        start = elapsed()
        torch.manual_seed(1)
        job = Job(work, layers[work["network"]], n, steps, wrap, dtype, mode == "graph")
        # checked in eager mode: the few checked particles would be another compilation
        deviation = None
        if mode == "eager":
            deviation = job.deviation(checks)
            if deviation is not None and not deviation <= TOLERANCE[precision]:
                report["faults"].append(f"{label}: deviates by {deviation:.1e}, at most {TOLERANCE[precision]:.0e} is expected")
                log(f"{label}: DEVIATES by {deviation:.2e}")
        if mode == "graph":
            job.capture()
        if options.warm:
            if work["kind"] == "train":
                job.train_step()
            elif work["kind"] == "sample":
                job.evaluate(torch.randn(job.chunk, job.dim, device=device), None)
            else:
                job.run()
            synchronize()
            log(f"{label}: compiled in {elapsed() - start:.1f} s")
            return
        job.run()
        synchronize()
        first = elapsed() - start
        job.run()
        synchronize()
        times, device_times = [], []
        limit = elapsed() + (0.5 if mode == "eager" else 0.8)
        while len(times) < options.rounds and (elapsed() < limit or len(times) < 2):
            if cuda:
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
            at = time.perf_counter()
            job.run()
            if cuda:
                end.record()
            synchronize()
            times.append((time.perf_counter() - at) / job.per_call)
            if cuda:
                device_times.append(begin.elapsed_time(end) / 1000 / job.per_call)
        median = statistics.median(times)
        entry = {
            "id": work["id"], "mode": mode, "precision": precision, "n": n, "chunk": job.chunk, "seconds": median, "best": min(times),
            "worst": max(times), "eventSeconds": statistics.median(device_times) if device_times else None,
            "particlesPerSecond": n / median, "deviation": deviation, "first": first,
        }
        report["results"].append(entry)
        shown = "" if deviation is None else f", deviation {deviation:.1e}"
        log(f"{label}: {1000 * median:.3f} ms, {n / median:.4g} particles/s{shown}, ready after {first:.1f} s")

    def tries(list_of):
        for work, mode, precision in list_of:
            label = f"{work['id']} {mode} {precision}"
            if left() < (6 if "compile" in mode else 2):
                report["notRun"].append(label)
                continue
            try:
                attempt(work, mode, precision)
            except Exception as error:
                report["faults"].append(f"{label}: {type(error).__name__}: {str(error)[:400]}")
                log(f"{label} FAILED: {type(error).__name__}: {str(error)[:300]}")
                if os.environ.get("KIT_TRACEBACK"):
                    traceback.print_exc()
            if cuda:
                torch.cuda.empty_cache()
            save()

    solvable = [w for w in works if w["method" if "method" in w else "kind"] != "dopri5"]
    precisions = ["fp32", "tf32", "bf16"] if cuda else ["fp32", "bf16"]
    # what needs a compilation: the important works in all precisions, the bigger sizes of the same network in the two that differ most
    compiled = []
    for work in solvable:
        important = work["torch"] <= 8
        for precision in precisions if important else ["fp32", "bf16"]:
            if options.quick and (work["torch"] > 5 or precision == "tf32"):
                continue
            if work["id"].endswith(("2^22", "2^24")) and work["torch"] > 9:
                continue
            compiled.append((work, "compile", precision))
    small = [w for w in solvable if w["kind"] == "train" or w["id"].endswith("2^14")]
    if options.no_compile:
        compiled = []
    if options.warm:
        tries(compiled)
        return
    tries([(w, "eager", p) for w in solvable for p in precisions])
    if cuda:
        tries([(w, "graph", p) for w in small for p in (["fp32", "tf32"] if not options.quick else ["fp32"])])

    # Dormand–Prince of torchdiffeq: one step size for the whole batch, ours has one for each particle
    for work in works:
        if work.get("method") != "dopri5" or left() < 5:
            continue
        try:
            from torchdiffeq import odeint

            n = work["tiny"] if options.tiny else work["n"]
            spec = layers[work["network"]]
            for precision in precisions[:2] if cuda else ["fp32"]:
                set_precision(precision)
                x = torch.randn(n, spec[-1][0].shape[0], device=device)
                count = [0]

                def field(t, y):
                    count[0] += 1
                    return velocity(spec, y, t)

                times = torch.tensor([0.0, 1.0], device=device)

                def solve():
                    count[0] = 0
                    with torch.inference_mode():
                        odeint(field, x, times, method="dopri5", rtol=1e-5, atol=1e-5)

                median = seconds_of(solve, 3)
                report["results"].append(
                    {"id": work["id"], "mode": "torchdiffeq", "precision": precision, "n": n, "seconds": median, "particlesPerSecond": n / median, "nfe": count[0]}
                )
                log(f"{work['id']} torchdiffeq {precision}: {1000 * median:.2f} ms, {n / median:.4g} particles/s, {count[0]} evaluations")
        except Exception as error:
            report["faults"].append(f"torchdiffeq: {type(error).__name__}: {str(error)[:300]}")
            log(f"torchdiffeq FAILED: {error}")
        save()

    tries(compiled)
    if cuda and not options.quick and not options.no_compile:
        tries([(w, "compile+graphs", "fp32") for w in small])
    report["seconds"] = elapsed()
    save()
    log(f"{len(report['results'])} figures, {len(report['notRun'])} not run, {len(report['faults'])} faults")


if __name__ == "__main__":
    main()
