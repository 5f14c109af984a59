// What a browser loads when it is first asked for: see flow.ts.
export { densityGrid } from "./density.ts";
export { evaluate } from "./evaluation.ts";
export { collectOnDevice } from "./on-device.ts";
export { histogram, meanLogProb, moments } from "./reductions.ts";
export { saveFlow } from "./save-file.ts";
export { readSamples } from "./source-buffer.ts";
export { logProbStream, pushStream } from "./streams.ts";
export { continuity, flux } from "./theory.ts";
