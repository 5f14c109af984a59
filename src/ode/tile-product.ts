import { planMix, planStageInput } from "../../shaders/stages.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { planProduct, reverseSegments, tileReverse } from "../kernels/tile-reverse.ts";
import { waveOf } from "../kernels/waves.ts";
import type { Network } from "../network/network.ts";
import { reverseLayout } from "../velocity/network-layout.ts";
import type { Parameters } from "../velocity/parameters.ts";
import { inputRows } from "../velocity/run.ts";
import { branchesOf, conditionBuffers } from "./branches.ts";
import { type Engine, names } from "./engine.ts";
import { inputOf } from "./layered-engine.ts";

/** Jᵀ·w on a GPU: forward and reverse in one kernel, on tiles of particles; undefined for networks that do not fit. */
export async function tileProductEngine(
  gpu: Gpu,
  network: Network,
  layered: Engine,
  parameters: Parameters,
): Promise<Engine | undefined> {
  const { dim, classes, context } = network;
  const reverse = tileReverse(network, "product", await waveOf(gpu), gpu.device.limits);
  if (!reverse) return undefined;
  const layout = reverseLayout(network, reverse.network.packing(reverse.tiling, reverse.work));
  const rows = (name: string, features: number, capacity: number) => ({ name, bytes: 4 * features * capacity });
  return {
    ...layered,
    family: `tile ${JSON.stringify(network.tensors.map(({ shape }) => shape))}`,
    scratchFloats: () => (classes + context > 0 ? 2 : 1) * inputRows(network) + 2 * dim,
    shared: (session) => parameters.lease(session, { [layout.name]: layout }),
    buffers(chunk, conditions) {
      const { capacity } = chunk;
      const { count } = branchesOf(network, conditions);
      return [
        ...Array.from({ length: count }, (_, branch) => rows(inputOf(branch), inputRows(network), capacity)),
        ...(count > 1 ? ["u", "xbar"].map((name) => rows(name, dim, capacity)) : []),
        { name: "kept", bytes: 4 * reverseSegments(reverse, capacity).segments * reverse.keptFloats },
        ...conditionBuffers(chunk, conditions, context),
      ];
    },
    integrate() {
      throw new Error("solves go through the forward engine");
    },
    evaluate(chunk, conditions, output) {
      if (output !== "vjp") throw new Error(`${output} goes through the forward engine`);
      const { capacity } = chunk;
      const { count, weightNull, weightLabel } = branchesOf(network, conditions);
      const plan = (inputs: string, velocity: string, product: string) => [
        ...planStageInput({
          capacity,
          dim,
          time: { times: names.times },
          a: [],
          ks: [],
          state: names.state,
          input: inputs,
        }),
        ...planProduct(reverse, chunk, { weights: layout.name, inputs, cotangent: names.tangent, velocity, product }),
      ];
      if (count === 1) return plan(inputOf(0), names.velocity, names.product);
      return [weightNull, weightLabel].flatMap((weight, branch) => {
        const mixed = { capacity, dim, weight, add: branch > 0 };
        return [
          ...plan(inputOf(branch), "u", "xbar"),
          planMix({ ...mixed, value: "u", target: names.velocity }),
          planMix({ ...mixed, value: "xbar", target: names.product }),
        ];
      });
    },
  };
}
