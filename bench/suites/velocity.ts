import { makeNetwork, shapeOf, works } from "../networks.ts";
import { type Bench, compare } from "../rounds.ts";

/** One batched evaluation of the network; input and result cross to the host, for everybody. */
export async function velocity(bench: Bench): Promise<void> {
  const shapes: [dim: number, width: number, n: number][] = bench.quick
    ? [
        [2, 32, 1e4],
        [2, 64, 1e3],
        [2, 64, 1e4],
        [64, 256, 2048],
      ]
    : [
        ...[32, 64, 128, 256, 512, 1024].map((width): [number, number, number] => [2, width, 1e4]),
        ...[16, 64, 256].map((dim): [number, number, number] => [dim, 256, 1e4]),
        ...[1e3, 1e5, 1e6].map((n): [number, number, number] => [2, 64, n]),
      ];
  for (const [dim, width, n] of shapes) {
    const network = makeNetwork(dim, [width, width, width]);
    await compare(bench, {
      suite: "velocity",
      name: `${shapeOf(network)}, n = ${n}`,
      work: works.velocity(network, n),
    });
  }
}
