import { invalid } from "../errors.ts";
import { flag, type Schema, word } from "../options/schema.ts";
import { show } from "../options.ts";
import type { GpuOptions } from "./adapter.ts";

export const mebibyte = 1 << 20;

/** Options of openGpu, whose messages name them alone. */
export const gpuFields = {
  device: {
    check(_, value) {
      const device = value as Partial<GPUDevice> | null;
      if (device === null)
        throw invalid("device is null, but it is a GPUDevice: leave it out, and openGpu opens one itself");
      if (typeof device.createBuffer === "function") return device as GPUDevice;
      throw invalid(`device is ${show(device)}, but it is a GPUDevice: pass what adapter.requestDevice() resolved to`);
    },
  },
  adapter: {
    check(_, value) {
      const adapter = value as Partial<GPUAdapter> | null;
      if (adapter === null)
        throw invalid(
          "adapter is null, which is what requestAdapter() resolves to where there is no such adapter: ask for another one, or leave adapter out, and openGpu looks for one itself",
        );
      if (typeof adapter.requestDevice === "function") return adapter as GPUAdapter;
      throw invalid(`adapter is ${show(adapter)}, but it is a GPUAdapter: pass what requestAdapter() resolved to`);
    },
  },
  powerPreference: { check: word("low-power", "high-performance") },
  software: { check: word("allow", "forbid", "require") },
  memoryBudget: {
    check(_, value) {
      if (typeof value === "number" && Number.isFinite(value) && value >= mebibyte) return value;
      throw invalid(
        `memoryBudget is ${show(value)}, but it is a number of bytes and at least ${mebibyte}: leave it out for the default`,
      );
    },
  },
  recover: { check: flag(), fallback: true },
  tune: {
    check(_, value) {
      const { store } = (value ?? {}) as { store?: { get?: unknown; set?: unknown } };
      const isStore = typeof store?.get === "function" && typeof store.set === "function";
      if (typeof value === "boolean" || isStore) return value as NonNullable<GpuOptions["tune"]>;
      throw invalid(
        `tune is ${show(value)}, but it is true, false or { store: { get(key), set(key, value) } } whose methods return promises`,
      );
    },
  },
} satisfies Schema<GpuOptions>;
