// The entry "pushforward/transforms".
export type { AxisTransform, Transform } from "./transform.ts";
export { constrain, unconstrain } from "./transform-maps.ts";
