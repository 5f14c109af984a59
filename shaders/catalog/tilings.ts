import type { Tiling } from "../tiling.ts";

const lavapipeTangents = {
  lanes: 2,
  groups: 1,
  outputs: 4,
  gather: 8,
  space: "uniform",
  keep: "rotate",
  workgroupSize: 32,
} as const satisfies Tiling;

/** What adapters ask for. */
export const tilings = {
  gpu: { lanes: 1, groups: 1, outputs: 4, gather: 0, space: "uniform", keep: "array", workgroupSize: 64 },
  "gpu storage": { lanes: 1, groups: 1, outputs: 4, gather: 0, space: "storage", keep: "array", workgroupSize: 64 },
  swiftshader: { lanes: 4, groups: 4, outputs: 1, gather: 4, space: "uniform", keep: "array", workgroupSize: 16 },
  "swiftshader without subgroups": {
    lanes: 4,
    groups: 2,
    outputs: 1,
    gather: 0,
    space: "uniform",
    keep: "array",
    workgroupSize: 32,
  },
  "swiftshader tangents": {
    lanes: 4,
    groups: 1,
    outputs: 1,
    gather: 4,
    space: "storage",
    keep: "array",
    workgroupSize: 32,
  },
  lavapipe: { lanes: 4, groups: 1, outputs: 2, gather: 8, space: "uniform", keep: "rotate", workgroupSize: 32 },
  "lavapipe tangents": lavapipeTangents,
  "lavapipe tangents in turns": { ...lavapipeTangents, turns: true },
} satisfies Record<string, Tiling>;
