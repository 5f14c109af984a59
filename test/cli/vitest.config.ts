import { defineConfig, mergeConfig } from "vitest/config";
import common from "../../vitest.config.ts";

/** Tests of the command line that compute: they need an adapter, which `npm test -- --only cli` finds. */
export default mergeConfig(
  { ...common, test: { ...common.test, include: [] } },
  // their preparations train networks: beside other steps that takes its time
  defineConfig({ test: { include: ["test/cli/**/*.test.ts"], hookTimeout: 120_000 } }),
);
