import { type Gpu, openGpu } from "pushforward";
import { type Ceiling, prepareCeiling } from "./ceiling.ts";
import type { Contender, ContenderModule } from "./contender.ts";
import type { BenchArguments, BenchEvent } from "./figure.ts";
import { ours } from "./ours.ts";
import type { Bench } from "./rounds.ts";
import { ceiling } from "./suites/ceiling.ts";
import { divergence } from "./suites/divergence.ts";
import { likelihood } from "./suites/likelihood.ts";
import { networks } from "./suites/networks.ts";
import { sample } from "./suites/sample.ts";
import { scale } from "./suites/scale.ts";
import { stream } from "./suites/stream.ts";
import { train } from "./suites/train.ts";
import { training } from "./suites/training.ts";
import { velocity } from "./suites/velocity.ts";

const suites: Record<string, (bench: Bench) => Promise<void>> = {
  ceiling,
  velocity,
  sample,
  scale,
  divergence,
  likelihood,
  networks,
  train,
  training,
  stream,
};

/** What runs in a home: the suites one after the other on one device. */
export async function main(args: BenchArguments, emit: (event: BenchEvent) => void): Promise<void> {
  const gpu = await openGpu();
  const { vendor, architecture, description, software } = gpu.info;
  emit({ type: "adapter", adapter: { vendor, architecture, description, software } });
  const wrong: string[] = [];
  gpu.device.addEventListener("uncapturederror", (event) =>
    wrong.push((event as GPUUncapturedErrorEvent).error.message),
  );
  const contenders = [ours(gpu), ...(await openRivals(args, gpu, emit))];
  for (const { name, version } of contenders) emit({ type: "contender", name, version });
  let measured: Ceiling | undefined;
  try {
    measured = await prepareCeiling(gpu.device, args.home);
    const bench: Bench = {
      gpu,
      home: args.home,
      quick: args.quick,
      rounds: args.quick ? 3 : 7,
      contenders,
      ceiling: measured,
      emit,
    };
    for (const name of args.suites) {
      const suite = suites[name];
      // start-up is the host's: it needs a fresh process every time
      if (suite) await suite(bench);
      if (wrong.length > 0) throw new Error(`the device reported an error: ${wrong[0]}`);
    }
  } finally {
    measured?.dispose();
    for (const contender of contenders) contender.dispose();
    gpu.dispose();
  }
}

async function openRivals(args: BenchArguments, gpu: Gpu, emit: (event: BenchEvent) => void): Promise<Contender[]> {
  if (args.rivals.length === 0) return [];
  const path = new URL("./rivals.mjs", import.meta.url).href;
  const { rivals } = (await import(path)) as { rivals: Record<string, () => Promise<ContenderModule>> };
  const opened: Contender[] = [];
  for (const name of args.rivals) {
    const leave = (why: string) => emit({ type: "left out", work: "everything", contender: name, why });
    try {
      const rival = await rivals[name]?.();
      if (!rival) leave("there is no such rival");
      else if (!rival.homes.includes(args.home)) leave(`it does not work in ${args.home}`);
      else opened.push(await rival.open({ home: args.home, gpu: await entryPoint(args), device: gpu.device }));
    } catch (error) {
      leave(error instanceof Error ? error.message : String(error));
    }
  }
  return opened;
}

/** The home's own WebGPU: the navigator's, or Dawn's in Node. */
async function entryPoint({ home }: BenchArguments): Promise<GPU> {
  if (home !== "node") return navigator.gpu;
  const { create } = await import("webgpu");
  return create([]);
}
