// Whether there is an adapter that is no software: one line of JSON, exit code 0. KIT_ALLOW_SOFTWARE=1 takes any.
import process from "node:process";
import { create } from "webgpu";

// kept: without it the adapter's backend is collected as garbage
globalThis.kept = create([]);
const adapter = await globalThis.kept.requestAdapter({ powerPreference: "high-performance" });
if (!adapter) {
  console.log("no adapter");
  process.exit(3);
}
const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
console.log(JSON.stringify({ vendor, architecture, device, description, isFallbackAdapter }));
globalThis.device = await adapter.requestDevice();
const isSoftware = isFallbackAdapter || /llvmpipe|swiftshader|lavapipe/i.test(description);
process.exit(isSoftware && process.env.KIT_ALLOW_SOFTWARE !== "1" ? 4 : 0);
