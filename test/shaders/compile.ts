import { catalog, drawings } from "../../shaders/catalog.ts";
import { declared } from "../../shaders/interface.ts";
import type { Kernel } from "../../shaders/kernel.ts";
import { type Drawing, drawingPipeline } from "../../shaders/view.ts";
import { PipelineCache } from "../../src/gpu/pipelines.ts";
import type { Failure, SuiteEvent } from "../homes/events.ts";
import { networkKernels } from "./networks.ts";

/** Tint is Dawn's WGSL compiler, here without any adapter; Naga is Deno's, which compiles for the adapter it has. */
type Compiler = "tint" | "naga";

interface CompileArguments {
  readonly compiler: Compiler;
  readonly filter: string;
  /** Whether Naga's shaders all become pipelines of the adapter, not just one of each family. */
  readonly isFull: boolean;
  readonly firstIndex: number;
}

/** A variant compiles in seconds even on one core; a compiler that takes longer is stuck. */
const timeoutSeconds = 60;

/** What a shader says it needs, in WGSL's words and in WebGPU's. */
const extensions: readonly { readonly enable: RegExp; readonly feature: GPUFeatureName }[] = [
  { enable: /^\s*enable\b[^;]*\bsubgroups\b/m, feature: "subgroups" },
  { enable: /^\s*enable\b[^;]*\bsubgroup_size_control\b/m, feature: "subgroup-size-control" as GPUFeatureName },
  { enable: /^\s*enable\b[^;]*\bf16\b/m, feature: "shader-f16" },
  {
    enable: /^\s*enable\b[^;]*\bchromium_experimental_subgroup_matrix\b/m,
    feature: "chromium-experimental-subgroup-matrix" as GPUFeatureName,
  },
];

type Shader = Pick<Kernel, "label" | "code">;

interface CompileTest {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** Compiles every entry of the catalogue as the library would; a test fails on errors and on warnings. */
export async function main(args: CompileArguments, emit: (event: SuiteEvent) => void): Promise<void> {
  const device = await openDevice(args.compiler);
  // read at once: Deno looks it up in the adapter, which may be collected as garbage meanwhile, and then panics
  const { vendor, description } = device.adapterInfo;
  const kernels = [...catalog, ...networkKernels()].map(({ name, kernel }) => ({ name, kernel: kernel() }));
  const familyOf = ({ entryPoint, buffers }: Kernel) =>
    `${entryPoint} ${declared(buffers).map(([, { access }]) => access)}`;
  /** The length of the shortest text of each family: that one becomes a pipeline in any case. */
  const shortest = new Map<string, number>();
  for (const { kernel } of kernels) {
    const family = familyOf(kernel);
    shortest.set(family, Math.min(kernel.code.length, shortest.get(family) ?? Number.POSITIVE_INFINITY));
  }
  const all = [
    ...kernels.map(({ name, kernel }) => {
      const isWhole = args.compiler === "tint" || args.isFull || kernel.code.length === shortest.get(familyOf(kernel));
      return compileTest(args.compiler, device, name, kernel, isWhole);
    }),
    ...drawings.map(({ name, drawing }) => ({
      name: `${name} compiles`,
      run: () => compileDrawing(device, drawing()),
    })),
  ];
  const names = new Set(all.map(({ name }) => name));
  if (names.size !== all.length) throw new Error("two entries of the catalogue have the same name");
  const tests = all.filter(({ name }) => name.toLowerCase().includes(args.filter.toLowerCase()));
  emit({ type: "tests", names: tests.map(({ name }) => name) });
  const where = args.compiler === "tint" ? "Tint, null backend" : `Naga, ${description || vendor}`;
  emit({ type: "adapter", description: where });
  for (const [index, test] of tests.entries()) {
    if (index < args.firstIndex) continue;
    emit({ type: "started", index, timeoutSeconds });
    const start = performance.now();
    const failures = await test.run().then(
      (): Failure[] => [],
      (error: unknown): Failure[] => [{ message: error instanceof Error ? error.message : String(error) }],
    );
    emit({ type: "finished", index, seconds: (performance.now() - start) / 1000, failures });
  }
  device.destroy();
}

function compileTest(
  compiler: Compiler,
  device: GPUDevice,
  name: string,
  kernel: Kernel,
  isWhole: boolean,
): CompileTest {
  const missing = extensions.find(({ enable, feature }) => enable.test(kernel.code) && !device.features.has(feature));
  if (!missing) return { name: `${name} compiles`, run: () => compile(device, kernel, isWhole) };
  if (compiler === "tint") {
    const run = () => Promise.reject(new Error(`Dawn's null backend lacks the feature ${missing.feature}`));
    return { name: `${name} compiles`, run };
  }
  // Left out by name, not in silence: Tint compiles these.
  return { name: `${name} is left to Tint, as this adapter has no ${missing.feature}`, run: () => Promise.resolve() };
}

/** Reads and validates the shader; `isWhole`: the adapter's pipeline as well. */
async function compile(device: GPUDevice, kernel: Kernel, isWhole: boolean): Promise<void> {
  await read(device, kernel);
  if (isWhole) await new PipelineCache(device).get(kernel);
}

/** Reads and validates a shader that draws, and makes its pipeline: few are cheap everywhere. */
async function compileDrawing(device: GPUDevice, drawing: Drawing): Promise<void> {
  await read(device, drawing);
  device.pushErrorScope("validation");
  const { descriptor } = drawingPipeline(device, drawing, "bgra8unorm");
  const pipeline = device.createRenderPipelineAsync(descriptor);
  const scope = device.popErrorScope();
  await pipeline;
  const error = await scope;
  if (error) throw new Error(error.message);
}

/** A test fails on what the compiler says, be it a warning. */
async function read(device: GPUDevice, shader: Shader): Promise<void> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: shader.code, label: shader.label });
  const scope = device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  const complaints = messages.filter(({ type }) => type !== "info");
  const error = await scope;
  if (complaints.length > 0) throw new Error(complaints.map((message) => quote(shader, message)).join("\n"));
  if (error) throw new Error(error.message);
}

/** The message with the line it is about: generated code has no file to look it up in. */
function quote({ label, code }: Shader, { type, lineNum, linePos, message }: GPUCompilationMessage): string {
  return `${type} in "${label}" at ${lineNum}:${linePos}: ${message}\n  ${(code.split("\n")[lineNum - 1] ?? "").trim()}`;
}

async function openDevice(compiler: Compiler): Promise<GPUDevice> {
  const gpu = compiler === "tint" ? await dawnWithoutAdapter() : navigator.gpu;
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error(`${compiler} has no adapter`);
  const features = extensions.map(({ feature }) => feature).filter((feature) => adapter.features.has(feature));
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } =
    adapter.limits;
  return adapter.requestDevice({
    requiredFeatures: features,
    requiredLimits: { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX },
  });
}

/** Dawn's instance must outlive its devices, so it is kept. */
let dawn: GPU | undefined;

async function dawnWithoutAdapter(): Promise<GPU> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  // what is still an experiment there, such as matrices of a subgroup, is compiled, too
  dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  return dawn;
}
