import { expect, test } from "vitest";
import type { GpuInfo } from "../../src/gpu/adapter.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { must } from "../../src/must.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { type MlpVelocity, mlp } from "../../src/network/mlp.ts";
import type { NetworkVelocity } from "../../src/network/network.ts";
import { networkOf } from "../../src/network/of.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import { chunkOf, type DivergenceMode } from "../../src/ode/engine.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { integrationOf } from "../../src/ode/integration.ts";
import { narrowEngine } from "../../src/ode/narrow-engine.ts";
import { fusedNetwork, fusedNetworkEngine } from "../../src/ode/network-engine.ts";
import { Parameters } from "../../src/velocity/parameters.ts";
import { plainMlp } from "../../src/velocity/plain-mlp.ts";

const narrow = mlp({ dim: 2, hidden: [64, 64, 64] });
const residual = residualMlp({ dim: 2, width: 32, blocks: 2 });
const exact: DivergenceMode = { mode: "exact" };
const probe: DivergenceMode = { mode: "probes", kind: "rademacher", count: 1 };
const steps = 10;

/** An engine of a device that is only described; what it plans is told by the names of the kernels. */
function engineOn(description: string, velocity: MlpVelocity | NetworkVelocity = narrow) {
  const info: Partial<GpuInfo> = { software: true, description, vendor: "", architecture: "", subgroupSize: 8 };
  const tuning = { measure: false, store: undefined };
  const gpu = {
    info,
    device: { limits: { maxUniformBufferBindingSize: 65_536 } },
    current: { profile: { tuning } },
  } as unknown as Gpu;
  const network = networkOf(velocity);
  const parameters = new Parameters(network, initialParameters(network, 1));
  const plain = plainMlp(velocity);
  const fused = plain ? undefined : fusedNetwork(gpu, network);
  const engine = fused
    ? fusedNetworkEngine(gpu, network, fused, parameters)
    : narrowEngine(gpu, must(plain, "a plain mlp"), parameters);
  if (!engine) throw new Error("not a narrow network");
  const conditions = { guidance: 1 };
  const grid = timeGrid("test", { method: "midpoint", steps }, 0, 1);
  /** Whether a chunk of a call of so many particles goes in turns. */
  const goesInTurns = (count: number, mode = exact, start = 0, total = count) => {
    const chunk = chunkOf(start, count, 1e15);
    const planned = engine.integrate(chunk, conditions, { ...integrationOf(grid, mode), total }, 0, steps);
    return isInTurns(planned);
  };
  const evaluates = (count: number) =>
    isInTurns(engine.evaluate(chunkOf(0, count, 1e15), conditions, "divergence", exact));
  return { goesInTurns, evaluates };
}

function isInTurns(dispatches: readonly { readonly kernel: { readonly label: string } }[]): boolean {
  const solving = dispatches.filter(({ kernel }) => /^(integrate|evaluate)/.test(kernel.label));
  const found = new Set(solving.map(({ kernel }) => kernel.label.endsWith(" turns")));
  expect(found.size).toBe(1);
  return found.has(true);
}

test("on lavapipe log p goes in turns until its work is worth the compilation of the longer text, and by that from there on", () => {
  const { goesInTurns } = engineOn("llvmpipe");
  const calls = Array.from({ length: 40 }, () => goesInTurns(10_000));
  const first = calls.indexOf(false);
  expect(first).toBeGreaterThan(5);
  expect(calls.slice(0, first)).not.toContain(false);
  expect(calls.slice(first)).not.toContain(true);
  expect(goesInTurns(1)).toBe(false);
});

test("a call whose particles are worth it has the longer text from its first chunk", () => {
  const { goesInTurns } = engineOn("llvmpipe");
  expect(goesInTurns(1024, exact, 0, 1_000_000)).toBe(false);
  expect(engineOn("llvmpipe").goesInTurns(1024, exact, 0, 2048)).toBe(true);
  expect(engineOn("llvmpipe").goesInTurns(1024, exact, 998_976, 1_000_000)).toBe(true);
});

test("work of another kind, or on another device, does not count", () => {
  const { goesInTurns, evaluates } = engineOn("llvmpipe");
  expect(goesInTurns(1_000_000)).toBe(false);
  expect(goesInTurns(1000, probe)).toBe(true);
  expect(evaluates(1000)).toBe(true);
  expect(evaluates(10_000_000)).toBe(false);
  expect(engineOn("llvmpipe").goesInTurns(1000)).toBe(true);
});

test("a network that is no mlp has one tangent at a time until its work is worth more", () => {
  const { goesInTurns, evaluates } = engineOn("llvmpipe", residual);
  expect(goesInTurns(100)).toBe(true);
  expect(evaluates(100)).toBe(true);
  expect(goesInTurns(100, { mode: "none" })).toBe(false);
  expect(goesInTurns(100, exact, 0, 1_000_000)).toBe(false);
  expect(goesInTurns(1_000_000)).toBe(false);
  expect(goesInTurns(100)).toBe(false);
  expect(engineOn("SwiftShader Device", residual).goesInTurns(100)).toBe(false);
});

test("what has no tangents, and adapters that compile fast, have one text", () => {
  expect(engineOn("llvmpipe").goesInTurns(10, { mode: "none" })).toBe(false);
  const { goesInTurns, evaluates } = engineOn("SwiftShader Device");
  expect(goesInTurns(10)).toBe(false);
  expect(evaluates(10)).toBe(false);
});
