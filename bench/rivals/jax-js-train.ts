import { type Array as JaxArray, jit, numpy as np, random, tree, valueAndGrad } from "@jax-js/jax";
import type { Work } from "../contender.ts";
import type { Program } from "./jax-js.ts";
import { matrix, type Parameters, uploadNetwork, velocity } from "./jax-js-programs.ts";

const [learningRate, beta1, beta2, epsilon] = [1e-3, 0.9, 0.999, 1e-8];

/** Everything that a step hands to the next one, on the device. `powers` is [β₁ᵏ, β₂ᵏ]. */
type State = { parameters: Parameters; m: Parameters; v: Parameters; powers: JaxArray; key: JaxArray };

/**
 * One jitted step: draws, conditional optimal-transport path, valueAndGrad, Adam. Its state never leaves the device.
 * jax-js publishes no optimiser on npm: Adam is four lines of arrays, fused by jit into one kernel per tensor.
 */
export function trainProgram(work: Extract<Work, { kind: "train" }>): Program {
  const { network, batch, stepsPerRun } = work;
  const { dim } = network;
  const rows = work.data.length / dim;
  const data = matrix(work.data, rows, dim);

  const loss = (parameters: Parameters, xt: JaxArray, t: JaxArray, target: JaxArray) => {
    const u = velocity(network, parameters, xt, t);
    tree.dispose(parameters);
    return np.square(u.sub(target)).mean();
  };

  const step = jit((state: State, samples: JaxArray) => {
    const [next, forRows, forNoise, forTimes] = np.unstack(random.split(state.key, 4)) as Four;
    const x1 = np.take(samples, random.randint(forRows, { shape: [batch], minval: 0, maxval: rows }), 0);
    const x0 = random.normal(forNoise, [batch, dim]);
    const t = random.uniform(forTimes, [batch, 1]);
    const xt = x0.ref.add(t.ref.mul(x1.ref.sub(x0.ref)));
    const [value, gradient] = valueAndGrad(loss)(tree.ref(state.parameters), xt, t, x1.sub(x0));
    const m = tree.map((a: JaxArray, g: JaxArray) => a.mul(beta1).add(g.mul(1 - beta1)), state.m, tree.ref(gradient));
    const v = tree.map((a: JaxArray, g: JaxArray) => a.mul(beta2).add(np.square(g).mul(1 - beta2)), state.v, gradient);
    const powers = state.powers.mul(np.array([beta1, beta2]));
    const [power1, power2] = np.unstack(powers.ref) as [JaxArray, JaxArray];
    const [unbias1, unbias2] = [np.array(1).sub(power1), np.array(1).sub(power2)];
    const update = (p: JaxArray, a: JaxArray, b: JaxArray) =>
      p.sub(
        a
          .div(unbias1.ref)
          .div(np.sqrt(b.div(unbias2.ref)).add(epsilon))
          .mul(learningRate),
      );
    const parameters = tree.map(update, state.parameters, tree.ref(m), tree.ref(v));
    tree.dispose([unbias1, unbias2]);
    return { state: { parameters, m, v, powers, key: next }, value } as { state: State; value: JaxArray };
  });

  const parameters = uploadNetwork(network);
  const zeros = () => tree.map((a: JaxArray) => np.zerosLike(a), tree.ref(parameters)) as Parameters;
  let state: State = { parameters, m: zeros(), v: zeros(), powers: np.array([1, 1]), key: random.key(1) };
  return {
    start() {
      let value: JaxArray | undefined;
      for (let k = 0; k < stepsPerRun; k++) {
        value?.dispose();
        ({ state, value } = step(state, data.ref));
      }
      if (value === undefined) throw new Error("a run has at least one step");
      return value.reshape([1]);
    },
    dispose: () => {
      tree.dispose([state, data]);
      step.dispose();
    },
  };
}

type Four = [JaxArray, JaxArray, JaxArray, JaxArray];
