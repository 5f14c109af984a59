import type { Gpu } from "../gpu/gpu.ts";

/** How an adapter is told from others: two that read alike are taken to give the same bits. */
export function adapterName({ info }: Gpu): string {
  return [info.vendor, info.architecture, info.description].filter((word) => word !== "").join(" ") || "unknown";
}
