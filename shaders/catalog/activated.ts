import type { ClusterShape } from "../rows.ts";

/** What is made of a sum: an activation and so many of its derivatives, from φ on, into buffers of their own. */
export function activated(activation: string, orders: readonly (0 | 1 | 2)[]): ClusterShape {
  return {
    bindings: orders.map(() => true),
    parameters: [],
    leaves: [],
    results: orders.map((order) => ({
      function: { name: "activate", activation, order },
      of: [{ sum: 0 }],
      batched: false,
    })),
    stores: orders.map((_, i) => ({
      ...{ binding: i, batched: false, single: false, parameter: false },
      of: { result: i },
    })),
  };
}
