import { type ClusterNames, type ClusterShape, clusterNames, clusterText, type RowsAccess } from "./rows.ts";
import { nowhere } from "./weight-gradient.ts";

/**
 * What is made of a sum where one text stands for many layers: of an activation value, slope and curvature, or the sum itself and its
 * products with the rows of two buffers. A store whose first row is `nowhere` is left out, and so is the product for it.
 */
export type Finish = { readonly activation: string } | "products";

const access = (binding: number): RowsAccess => ({ binding, batched: true, single: false, parameter: false });

const orders = [0, 1, 2] as const;
const factors = [0, 1] as const;

/** The cluster of a finish. Its stores, in order: value, slope and curvature, or the sum and its two products. */
export function finishShape(finish: Finish): ClusterShape {
  if (finish === "products")
    return {
      bindings: [false, false, true, true, true],
      parameters: [],
      leaves: factors.map(access),
      results: factors.map((leaf) => ({ function: { name: "multiply" }, of: [{ leaf }, { sum: 0 }], batched: true })),
      stores: [
        { ...access(2), of: { sum: 0 } },
        ...factors.map((result) => ({ ...access(3 + result), of: { result } })),
      ],
    };
  return {
    bindings: orders.map(() => true),
    parameters: [],
    leaves: [],
    results: orders.map((order) => ({
      function: { name: "activate", activation: finish.activation, order },
      of: [{ sum: 0 }],
      batched: true,
    })),
    stores: orders.map((order) => ({ ...access(order), of: { result: order } })),
  };
}

/** Its statements for a number of a row, in the scope of `clusterText`, with the sum `z`. */
export function finishText(finish: Finish, { number, buffer }: ClusterNames = clusterNames): string {
  const place = (name: string) => `(${number(name)} + row + s * ${number(`${name}_rows`)}) * params.stride + p`;
  const stores = (binding: number, values: readonly string[]) =>
    values.map(
      (value, i) => `if (${number(`s${i}`)} != ${nowhere}u) { ${buffer(binding + i)}[${place(`s${i}`)}] = ${value}; }`,
    );
  if (finish === "products")
    return stores(2, ["z", ...factors.map((i) => `${buffer(i)}[${place(`l${i}`)}] * z`)]).join("\n");
  const made = clusterText({ ...finishShape(finish), stores: [] }, { loops: false, sum: () => "z" });
  return [
    made,
    ...stores(
      0,
      orders.map((order) => `v${order}`),
    ),
  ].join("\n");
}
