// The entry "pushforward/paths".
export { convertPrediction, type Prediction } from "./conversions.ts";
export { type Path, type PathName, paths, polynomialPath } from "./paths.ts";
