// What a browser loads at the first training: see entry.ts.
export { runFlowMatching } from "./flow-matching.ts";
export { givenBatchGradients } from "./gradients.ts";
export { runMaximumLikelihood } from "./likelihood.ts";
export { givenLikelihoodGradients } from "./likelihood-gradients.ts";
export { givenLogProbGradient } from "./log-prob-gradient.ts";
