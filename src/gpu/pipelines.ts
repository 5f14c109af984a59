import { patiently } from "#provider";
import { type Access, declared, paramsBytes } from "../../shaders/interface.ts";
import { PushforwardError } from "../errors.ts";
import { must } from "../must.ts";
import type { Dispatch, Kernel } from "./kernel.ts";

/** A compiled kernel. `fresh` is true until its first submit: drivers may really compile only then. */
export interface Pipeline {
  readonly gpu: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly id: number;
  fresh: boolean;
  /** Whether nothing of it is left to compile: where that happens in the first run, when that has ended. */
  isReady: boolean;
}

/** A kernel of the cache, from when somebody has looked for it. */
export interface Compilation {
  /** Once it has been asked for. */
  asked: Promise<Pipeline> | undefined;
  pipeline: Pipeline | undefined;
}

const bufferTypes: Record<Access, GPUBufferBindingLayout> = {
  uniform: { type: "uniform" },
  read: { type: "read-only-storage" },
  write: { type: "storage" },
};

/** The params, at an offset that changes with every dispatch, and the buffers that a dispatch names, as its kernel declares them. */
export function bindGroupOf(
  device: GPUDevice,
  layout: GPUBindGroupLayout,
  { kernel, buffers, offsets }: Dispatch,
  params: GPUBuffer,
  bufferOf: (name: string) => GPUBuffer,
): GPUBindGroup {
  const entries = declared(kernel.buffers).map(([name, { access }], i): GPUBindGroupEntry => {
    const buffer = bufferOf(must(buffers[name], `the buffer ${name} of a dispatch`));
    const limit = access === "uniform" ? device.limits.maxUniformBufferBindingSize : buffer.size;
    const offset = offsets?.[name] ?? 0;
    return { binding: i + 1, resource: { buffer, offset, size: Math.min(buffer.size - offset, limit) } };
  });
  const first = { binding: 0, resource: { buffer: params, size: paramsBytes } };
  return device.createBindGroup({ label: kernel.label, layout, entries: [first, ...entries] });
}

/** Pipelines of one device, each compiled once per source text. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #compilations = new Map<string, Compilation>();
  readonly #byKernel = new WeakMap<Kernel, Compilation>();
  #compiled = 0;
  /** Whether the adapter really compiles a kernel in its first run. */
  readonly compilesInFirstRun: boolean;
  /** Kernels that are being compiled. */
  compiling = 0;
  /** While this is set, the device is somebody's alone, and submits wait for it: see src/tune/hold.ts. */
  gate: Promise<void> | undefined;
  /** How often a pipeline was asked for: it stands still while nothing is submitted. */
  requests = 0;

  constructor(device: GPUDevice, compilesInFirstRun = false) {
    this.#device = device;
    this.compilesInFirstRun = compilesInFirstRun;
  }

  /** The pipeline of a kernel, which every submit asks for: while the device is held, the answer waits. */
  get(kernel: Kernel): Promise<Pipeline> {
    this.requests++;
    const pipeline = this.compile(kernel);
    if (!this.gate) return pipeline;
    return this.gate.then(async () => {
      const late = await pipeline;
      // The wait would be taken for the kernel's own time.
      late.fresh = true;
      return late;
    });
  }

  /** The pipelines of dispatches where none has to be waited for: what {@link get} would answer, at once. */
  compiled(dispatches: readonly Dispatch[]): Pipeline[] | undefined {
    if (this.gate) return undefined;
    const pipelines: Pipeline[] = [];
    for (const { kernel } of dispatches) {
      const { pipeline } = this.compilation(kernel);
      if (!pipeline) return undefined;
      pipelines.push(pipeline);
    }
    this.requests += pipelines.length;
    return pipelines;
  }

  /** The pipeline of a kernel, compiled when it is first asked for. */
  compile(kernel: Kernel): Promise<Pipeline> {
    const compilation = this.compilation(kernel);
    if (compilation.asked) return compilation.asked;
    const asked = this.#compile(kernel);
    compilation.asked = asked;
    this.compiling++;
    asked.then(
      (pipeline) => {
        compilation.pipeline = pipeline;
        this.compiling--;
      },
      () => {
        compilation.asked = undefined;
        this.compiling--;
      },
    );
    return asked;
  }

  /** Whether a kernel is being compiled, be it by a first run that has not ended. */
  get isCompiling(): boolean {
    if (this.compiling > 0) return true;
    if (!this.compilesInFirstRun) return false;
    return [...this.#compilations.values()].some(({ pipeline }) => pipeline && !pipeline.isReady && !pipeline.fresh);
  }

  /** What is known of a kernel, which is not asked for by that. */
  compilation(kernel: Kernel): Compilation {
    const known = this.#byKernel.get(kernel);
    if (known) return known;
    const key = `${kernel.entryPoint}|${kernel.code}`;
    let compilation = this.#compilations.get(key);
    if (!compilation) {
      compilation = { asked: undefined, pipeline: undefined };
      this.#compilations.set(key, compilation);
    }
    this.#byKernel.set(kernel, compilation);
    return compilation;
  }

  async #compile(kernel: Kernel): Promise<Pipeline> {
    const device = this.#device;
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: kernel.code, label: kernel.label });
    const layout = device.createBindGroupLayout({
      label: kernel.label,
      entries: [
        { binding: 0, visibility: 4, buffer: { type: "uniform", hasDynamicOffset: true } },
        ...declared(kernel.buffers).map(([, { access }], i) => ({
          binding: i + 1,
          visibility: 4,
          buffer: bufferTypes[access],
        })),
      ],
    });
    const compiling = device.createComputePipelineAsync({
      label: kernel.label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: kernel.entryPoint },
    });
    const scope = device.popErrorScope();
    const [pipeline, error] = await patiently(Promise.allSettled([compiling, scope]));
    if (pipeline.status === "fulfilled" && (error.status === "rejected" || !error.value)) {
      const isReady = !this.compilesInFirstRun;
      return { gpu: pipeline.value, layout, id: this.#compiled++, fresh: true, isReady };
    }
    const messages = (await module.getCompilationInfo?.())?.messages ?? [];
    const details = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join("\n");
    const reason = pipeline.status === "rejected" ? String(pipeline.reason?.message ?? pipeline.reason) : "";
    const validation = error.status === "fulfilled" ? (error.value?.message ?? "") : "";
    throw new PushforwardError(
      "shader",
      `the kernel "${kernel.label}" does not compile: ${details || validation || reason}`,
    );
  }
}
