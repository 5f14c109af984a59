import { Command } from "commander";
import { type Context, type GpuChoice, printResult, withGpu } from "../context.ts";
import { options } from "./shared-options.ts";

const mebibyte = 1 << 20;

const examples = `
Examples:
  pushforward info
  pushforward info --software forbid     fails with exit code 1 where only a CPU adapter is found
  pushforward info --json | jq .adapter.description`;

export function infoCommand(context: Context): Command {
  return new Command("info")
    .description("Show the WebGPU adapter that the other commands would use, and its limits.")
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((choice: GpuChoice & { json: boolean }) =>
      withGpu(choice, async (gpu) => {
        const { limits } = gpu.device;
        const adapter = { ...gpu.info, features: [...gpu.info.features].sort() };
        const numbers = {
          maxBufferSize: limits.maxBufferSize,
          maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
          maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
          maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
          maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
          maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
        };
        const lines: [string, string][] = [
          ["adapter", adapter.description || adapter.architecture || "(no description)"],
          ["vendor", adapter.vendor || "(not told)"],
          ["architecture", adapter.architecture || "(not told)"],
          ["kind", adapter.software ? "software: runs on the CPU" : "hardware"],
          ["features", adapter.features.join(", ") || "none"],
          ["memory budget of a call", `${Math.round(gpu.memoryBudget / mebibyte)} MiB`],
          ["largest buffer", `${Math.round(numbers.maxBufferSize / mebibyte)} MiB`],
          ["largest storage binding", `${Math.round(numbers.maxStorageBufferBindingSize / mebibyte)} MiB`],
          ["workgroup storage", `${numbers.maxComputeWorkgroupStorageSize} bytes`],
          ["threads of a workgroup", String(numbers.maxComputeInvocationsPerWorkgroup)],
          ["storage buffers of a kernel", String(numbers.maxStorageBuffersPerShaderStage)],
          ["runtime", runtime()],
        ];
        const text = lines.map(([name, value]) => `${name.padEnd(28)} ${value}`);
        printResult(
          context,
          choice.json,
          { adapter, memoryBudget: gpu.memoryBudget, limits: numbers, runtime: runtime() },
          text,
        );
      }),
    );
}

function runtime(): string {
  return `Node ${process.versions.node} on ${process.platform} ${process.arch}`;
}
