import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    alias: {
      "#provider": path("./src/gpu/provider-node.ts"),
      "#threads": path("./src/workers/threads-node.ts"),
      "#matching": path("./src/transport/matching-node.ts"),
      "pushforward/diagnostics": path("./src/diagnostics/entry.ts"),
      pushforward: path("./src/index.ts"),
    },
  },
  test: { include: ["test/unit/**/*.test.ts"], testTimeout: 60_000, isolate: false },
});
