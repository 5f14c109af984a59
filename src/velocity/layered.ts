import type { Dispatch } from "../gpu/kernel.ts";
import { type ParticleRange, planDense } from "../kernels/dense.ts";
import { backwardLayers, forwardLayers } from "./dense-layout.ts";
import type { MlpVelocity } from "./mlp.ts";

/** Names of the packed weights on the layered path. */
export const denseWeights = { forward: "weights.forward", backward: "weights.backward" } as const;

type NetworkRange = ParticleRange & { readonly velocity: MlpVelocity };

/**
 * Forward pass, a dispatch per layer: `input` [inputs][capacity] → h1 … hL (all kept) → `output` [dim][capacity].
 * With `slopes` also g1 … gL = φ' of each hidden layer, for tangents and the reverse pass.
 */
export function planForward(o: NetworkRange & { slopes: boolean; input?: string; output?: string }): Dispatch[] {
  const layers = forwardLayers(o.velocity);
  return layers.flatMap((layer, l) => {
    const last = l === layers.length - 1;
    const keeps = o.slopes && !last;
    return planDense(
      {
        layer,
        inputs: layer.inputs,
        outputs: layer.outputs,
        epilogue: last ? "none" : keeps ? "activate and keep slope" : "activate",
        bias: true,
        activation: o.velocity.activation,
        names: {
          weights: denseWeights.forward,
          in: l === 0 ? (o.input ?? "h0") : `h${l}`,
          out: last ? (o.output ?? "u") : `h${l + 1}`,
          slopes: keeps ? `g${l + 1}` : undefined,
        },
      },
      o,
    );
  });
}

/**
 * Tangents through the same layers, all at once: `input` [tangents][dim][capacity] → `output` [tangents][dim][capacity].
 * Needs the slopes of a forward pass; d1 … dL hold [tangents][width][capacity].
 */
export function planTangents(o: NetworkRange & { tangents: number; input: string; output: string }): Dispatch[] {
  const layers = forwardLayers(o.velocity);
  return layers.flatMap((layer, l) => {
    const last = l === layers.length - 1;
    // x comes first among our inputs, so the rows that move with a tangent are the first `dim`
    const inputs = l === 0 ? o.velocity.dim : layer.inputs;
    return planDense(
      {
        layer,
        inputs,
        outputs: layer.outputs,
        epilogue: last ? "none" : "scale by slope",
        bias: false,
        activation: o.velocity.activation,
        batch: { count: o.tangents, inRows: inputs, outRows: layer.outputs },
        names: {
          weights: denseWeights.forward,
          in: l === 0 ? o.input : `d${l}`,
          out: last ? o.output : `d${l + 1}`,
          slopes: last ? undefined : `g${l + 1}`,
        },
      },
      o,
    );
  });
}

/**
 * Reverse pass from the `cotangent` (`ubar`) [dim][capacity] of u: abar_l = φ'(a_l) ⊙ (W_{l+1}ᵀ abar_{l+1}) for the hidden layers,
 * and `xbar` [dim][capacity] = the x rows of W_1ᵀ abar_1 when asked for.
 */
export function planBackward(o: NetworkRange & { xbar: boolean; cotangent?: string; output?: string }): Dispatch[] {
  const layers = backwardLayers(o.velocity);
  const dispatches: Dispatch[] = [];
  for (let l = layers.length - 1; l >= (o.xbar ? 0 : 1); l--) {
    const layer = layers[l];
    if (!layer) continue;
    dispatches.push(
      ...planDense(
        {
          layer,
          inputs: layer.inputs,
          outputs: l === 0 ? o.velocity.dim : layer.outputs,
          epilogue: l === 0 ? "none" : "scale by slope",
          bias: false,
          activation: o.velocity.activation,
          names: {
            weights: denseWeights.backward,
            in: l === layers.length - 1 ? (o.cotangent ?? "ubar") : `abar${l + 1}`,
            out: l === 0 ? (o.output ?? "xbar") : `abar${l}`,
            slopes: l === 0 ? undefined : `g${l}`,
          },
        },
        o,
      ),
    );
  }
  return dispatches;
}
