import { provideGpu } from "#provider";
import { PushforwardError } from "../errors.ts";
import type { TextStore } from "./store.ts";

/** How `openGpu` finds its device. */
export interface GpuOptions {
  /**
   * Bring your own device; it is never destroyed by the library. In Node keep what `create([])` of the package `webgpu` returned for
   * as long: Dawn ends with that object, whatever devices there are, and takes the process along.
   */
  device?: GPUDevice;
  /** Bring your own adapter; a device is requested from it. In Node see `device`. */
  adapter?: GPUAdapter;
  /** Default `"high-performance"`. */
  powerPreference?: GPUPowerPreference;
  /** Whether a software adapter (SwiftShader, lavapipe, WARP) may be used. Default `"allow"`. */
  software?: "allow" | "forbid" | "require";
  /** Bytes that one call may hold on the device. Default: from the limits of the adapter. */
  memoryBudget?: number;
  /**
   * Whether a device of the same kind is opened in place of one that was lost, by the next call or by those that run: streams go on
   * at the first particle that was not given out, trainings from a state that the host has, with the same bits. Default true; a
   * device that was passed in is never replaced. Without it calls reject with `device-lost`.
   */
  recover?: boolean;
  /**
   * Whether the fastest tiling of the fused kernels is found by timing a few on this adapter, in the background of the first
   * calls and for at most a tenth of their time, and kept across runs (the user's cache folder, IndexedDB, or your store).
   * Only tilings whose results have the very bits of the fixed choice are taken, so results do not depend on it.
   * Default: true on GPUs; on software adapters, which are measured, only what was kept is used. `false`: the fixed choice.
   */
  tune?: boolean | { store: TextStore };
}

/** A product of matrices that subgroups have: of M × K by K × N, in numbers of one type, with sums of another. No types of WebGPU have it yet. */
interface SubgroupMatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** What is known of the adapter, read once before the device is made. */
export interface GpuInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly software: boolean;
  readonly features: readonly string[];
  /** Invocations per subgroup where the adapter has one fixed size, else 0. */
  readonly subgroupSize: number;
  /** The least and the most that it may have; 0 where the device has no subgroups. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** Where the device has chromium-experimental-subgroup-matrix: the products of matrices that its subgroups have. */
  readonly subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[];
}

const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

const wantedFeatures = [
  "subgroups",
  "subgroup-size-control",
  "shader-f16",
  "chromium-experimental-subgroup-matrix",
  "timestamp-query",
] as const;

function describe(info: GPUAdapterInfo | undefined, features: ReadonlySet<string>): GpuInfo {
  const text = `${info?.vendor ?? ""} ${info?.architecture ?? ""} ${info?.device ?? ""} ${info?.description ?? ""}`;
  const hasSubgroups = features.has("subgroups");
  const subgroupMinSize = (hasSubgroups && info?.subgroupMinSize) || 0;
  const subgroupMaxSize = (hasSubgroups && info?.subgroupMaxSize) || 0;
  return {
    vendor: info?.vendor ?? "",
    architecture: info?.architecture ?? "",
    description: info?.description ?? "",
    software:
      info?.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i.test(text),
    features: [...features].sort(),
    subgroupSize: subgroupMinSize === subgroupMaxSize ? subgroupMinSize : 0,
    subgroupMinSize,
    subgroupMaxSize,
    ...(features.has("chromium-experimental-subgroup-matrix") && { subgroupMatrixConfigs: matrixConfigs(info) }),
  };
}

/** As plain data: an adapter's, since a device of Dawn in Node tells none. */
function matrixConfigs(info: GPUAdapterInfo | undefined): SubgroupMatrixConfig[] {
  const { subgroupMatrixConfigs = [] } = (info ?? {}) as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  return Array.from(subgroupMatrixConfigs, ({ M, N, K, componentType, resultComponentType }) => ({
    M,
    N,
    K,
    componentType,
    resultComponentType,
  }));
}

async function findAdapter(options: GpuOptions): Promise<GPUAdapter> {
  if (options.adapter) return options.adapter;
  const gpu = await provideGpu();
  const software = options.software ?? "allow";
  const powerPreference = options.powerPreference ?? "high-performance";
  const tries: GPURequestAdapterOptions[] = [];
  if (software !== "require") tries.push({ powerPreference });
  if (software !== "forbid") tries.push({ powerPreference, forceFallbackAdapter: true });
  if (software === "require") tries.push({ powerPreference });
  for (const request of tries) {
    const adapter = await gpu.requestAdapter(request);
    if (!adapter) continue;
    const isSoftware = describe(adapter.info, adapter.features).software;
    if (software === "allow" || isSoftware === (software === "require")) return adapter;
  }
  const wanted = { allow: "WebGPU", forbid: "hardware WebGPU", require: "software WebGPU" }[software];
  throw new PushforwardError(
    "no-adapter",
    `there is no ${wanted} adapter here: ${
      software === "forbid"
        ? 'install the driver of the GPU, or pass software: "allow"'
        : "install the driver of a GPU, or a software adapter (Mesa's lavapipe 25 or newer, or SwiftShader; `npm run setup` of the checkout gets one)"
    }`,
  );
}

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

/** Finds an adapter and requests a device with the adapter's own limits. */
export async function requestDevice(options: GpuOptions): Promise<{ device: GPUDevice; info: GpuInfo }> {
  if (options.device) {
    const { device } = options;
    return { device, info: describe(device.adapterInfo, device.features) };
  }
  const adapter = await findAdapter(options);
  // Read before the device is requested: an adapter may be consumed by the request.
  const requiredFeatures = wantedFeatures.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
  const info = describe(adapter.info, new Set(requiredFeatures));
  const requiredLimits: Record<string, number> = {};
  for (const name of wantedLimits) requiredLimits[name] = adapter.limits[name];
  try {
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits, label: "pushforward" });
    return { device, info };
  } catch (cause) {
    const remedy = options.adapter
      ? "an adapter gives one device, so ask requestAdapter() for another one"
      : "see whether the driver has an update, and close what else uses the GPU";
    const text = `the adapter ${info.description || info.vendor} gave no device (${messageOf(cause)}): ${remedy}`;
    throw new PushforwardError("no-adapter", text, { cause });
  }
}
