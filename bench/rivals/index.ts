import type { ContenderModule } from "../contender.ts";
import { loadAsInBrowser } from "./browser-scope.ts";

/** Every rival by its name on the command line; a module is loaded only when it takes part. */
export const rivals: Record<string, () => Promise<ContenderModule>> = {
  cpu: () => import("./cpu.ts").then(({ contender }) => contender),
  "jax-js": () => import("./jax-js.ts").then(({ contender }) => contender),
  tfjs: () => loadAsInBrowser(() => import("./tfjs.ts")).then(({ contender }) => contender),
  pytorch: () => import("./pytorch.ts").then(({ contender }) => contender),
  "onnxruntime-web": () => import("./ort.ts").then(({ contender }) => contender),
};
