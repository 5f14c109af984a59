import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FusedNetwork } from "../../shaders/fused-network.ts";
import { integrateTileKernel } from "../../shaders/tile.ts";
import { Session } from "../../src/gpu/session.ts";
import { oneBranch, planIntegrate } from "../../src/kernels/fused.ts";
import { tileTilings } from "../../src/kernels/tile.ts";
import { item } from "../../src/must.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import type { Job } from "../../src/schedule/job.ts";
import { runOn } from "../../src/schedule/run.ts";

/** What the imaginary cards do: operations a second, bytes a second to the host, and seconds that a launch costs. */
interface Card {
  readonly flops: number;
  readonly bytes: number;
  readonly launch: number;
}
const steps = 10;

const limits = {
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupStorageSize: 32_768,
  maxBufferSize: 2 ** 32,
  maxStorageBufferBindingSize: 2 ** 31,
  maxUniformBufferBindingSize: 65_536,
};

const turn = setImmediate;

beforeEach(() => {
  // the turns of the event loop stay real: the queue counts them
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A device whose work takes the time that it should, by a clock that the test moves. `flopsOf` tells the next dispatch's operations. */
function imaginaryCard(card: Card, flopsOf: () => number) {
  const dispatches: number[] = [];
  /** When the device began and ended each submit; when each result was copied to the host, and was there. In seconds. */
  const submits: { begin: number; end: number }[] = [];
  const copies: { begin: number; end: number }[] = [];
  const now = () => performance.now() / 1000;
  const until = (then: number) =>
    new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, 1000 * (then - now()))));
  const idleAt = () => submits.at(-1)?.end ?? 0;
  const device = {
    limits,
    lost: new Promise(() => {}),
    pushErrorScope: () => {},
    popErrorScope: async () => null,
    createShaderModule: () => ({}),
    createBindGroupLayout: () => ({}),
    createBindGroup: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipelineAsync: async () => ({}),
    createBuffer: ({ size }: { size: number }) => {
      let copied = 0;
      return {
        size,
        destroy: () => {},
        unmap: () => {},
        getMappedRange: () => ({ slice: () => new ArrayBuffer(0) }),
        set copied(end: number) {
          copied = end;
        },
        async mapAsync(_mode: number, _offset: number, bytes: number) {
          const begin = copied;
          const end = begin + bytes / card.bytes;
          copies.push({ begin, end });
          await until(end);
        },
      };
    },
    createCommandEncoder: () => {
      const own = { seconds: 0, targets: [] as { copied: number }[] };
      return {
        own,
        finish: () => own,
        beginComputePass: () => ({
          setPipeline: () => {},
          setBindGroup: () => {},
          end: () => {},
          dispatchWorkgroups: () => {
            const seconds = flopsOf() / card.flops;
            dispatches.push(seconds);
            own.seconds += seconds + card.launch;
          },
        }),
        copyBufferToBuffer: (_from: unknown, _at: number, to: { copied: number }) => own.targets.push(to),
      };
    },
    queue: {
      writeBuffer: () => {},
      onSubmittedWorkDone: () => until(idleAt()),
      submit: (all: { seconds: number; targets: { copied: number }[] }[]) => {
        for (const { seconds, targets } of all) {
          const begin = Math.max(now(), idleAt());
          submits.push({ begin, end: begin + seconds });
          for (const target of targets) target.copied = begin + seconds;
        }
      },
    },
  };
  return { device: device as unknown as GPUDevice, dispatches, submits, copies };
}

test.each([
  { teraflops: 20, particles: 1e7 },
  { teraflops: 100, particles: 1e8 },
])(
  "on a device of $teraflops TFLOP/s launches and read-backs of $particles particles cost little",
  async ({ teraflops, particles }) => {
    const card: Card = { flops: 1e12 * teraflops, bytes: 12e9, launch: 1e-4 };
    const network = networkOf(mlp({ dim: 2, hidden: [64, 64, 64] }));
    const fused = new FusedNetwork(network);
    const tiling = item(tileTilings({ columns: 32, wave: "any" }, limits, fused, true, { mode: "none" }), 0);
    const flopsPerStep = 2 * 2 * network.multiplyAdds;
    const planned: number[] = [];
    const { device, dispatches, submits, copies } = imaginaryCard(card, () => planned.shift() ?? Number.NaN);
    const session = new Session(device, {
      info: { software: false, vendor: "", architecture: "", description: "" } as never,
      memoryBudget: 2 ** 30,
      tuning: { measure: false, store: undefined },
      // what is supposed of a GPU before anything has been measured
      speed: 2e11,
    });
    const names = { weights: "weights", schedule: "schedule", state: "state", table: "table" };
    const shared = new Map(
      ["weights", "schedule", "table"].map((name) => [name, device.createBuffer({ size: 1024, usage: 0 })]),
    );
    const job: Job = {
      what: "test",
      family: "test",
      count: particles,
      bytesPerParticle: 16,
      flopsPerParticle: steps * flopsPerStep,
      largestChunk: 2 ** 27,
      shared: { buffers: shared } as never,
      plan(_start, count, maxFlops) {
        const capacity = 64 * Math.ceil(count / 64);
        const made = planIntegrate({
          field: { kind: "network", dim: 2, network: fused, atOneTime: true, labels: false },
          integrator: integrateTileKernel,
          tiling,
          capacity,
          maxFlops,
          probes: 1,
          branches: oneBranch,
          stages: 2,
          freeStages: true,
          divergence: { mode: "none" },
          table: { firstRow: 0 },
          firstStep: 0,
          lastStep: steps,
          flopsPerStep,
          names,
        });
        planned.push(...made.map(({ flops }) => flops));
        return {
          buffers: [{ name: "state", bytes: 8 * capacity }],
          dispatches: made,
          outputs: [{ name: "state", bytes: 8 * count }],
        };
      },
    };
    let isDone = false;
    const run = async () => {
      let next = 0;
      for await (const { start, count } of runOn(session, job, { next: 0, room: Infinity, chunk: 0 }, {}, {
        check: () => {},
        expect: () => {},
        poll: () => {},
      } as never)) {
        expect(start).toBe(next);
        next += count;
      }
      expect(next).toBe(particles);
    };
    const running = run().finally(() => {
      isDone = true;
    });
    while (!isDone) {
      await new Promise<void>((resolve) => turn(() => resolve()));
      vi.advanceTimersByTime(0.25);
    }
    await running;
    const busy = dispatches.reduce((sum, seconds) => sum + seconds, 0);
    expect(busy).toBeCloseTo((particles * job.flopsPerParticle) / card.flops, 2);
    // once the speed is known, each takes from 5 to 50 ms, but for the rest at the end
    const known = dispatches.slice(dispatches.findIndex((seconds) => seconds > 0.005));
    for (const seconds of known.slice(0, -1))
      expect(seconds > 0.005 && seconds < 0.05, `a dispatch of ${seconds} s`).toBe(true);
    expect(known.reduce((sum, seconds) => sum + seconds, 0)).toBeGreaterThan(0.9 * busy);
    expect((dispatches.length * card.launch) / busy).toBeLessThan(0.02);
    // while a chunk is copied to the host the next one is at work, and the device never waits for the host
    for (const copy of copies.slice(0, -2))
      expect(submits.some(({ begin, end }) => begin <= copy.begin + 1e-6 && end >= copy.end)).toBe(true);
    const end = copies.at(-1)?.end ?? Number.NaN;
    expect(end).toBeLessThan(1.05 * busy);
  },
);
