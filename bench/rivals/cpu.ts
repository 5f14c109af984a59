import { flowMatching } from "../../test/oracle/losses.ts";
import { evaluate, network, type Network as OracleNetwork } from "../../test/oracle/mlp.ts";
import { networkField } from "../../test/oracle/network-field.ts";
import { logLikelihood, type Method, push, timesOf } from "../../test/oracle/ode.ts";
import { type AdamState, adamState, adamStep } from "../../test/oracle/optimisers.ts";
import { row } from "../../test/oracle/vectors.ts";
import type { Contender, ContenderModule, Prepared, Work } from "../contender.ts";

type TrainWork = Extract<Work, { kind: "train" }>;

function oracleNetwork({ dim, hidden, activation, weights }: Work["network"]): OracleNetwork {
  return network({ dim, hidden, activation }, weights);
}

/** Fills `result` row by row with what `one` gives for each particle. */
function eachRow(x: Float32Array, n: number, dim: number, one: (x: Float64Array) => ArrayLike<number>): Float32Array {
  const rows = Array.from({ length: n }, (_, i) => one(row(x, dim, i)));
  const width = rows[0]?.length ?? 0;
  const result = new Float32Array(n * width);
  rows.forEach((values, i) => void result.set(Float32Array.from(values), i * width));
  return result;
}

const signs = (dim: number) => Float64Array.from({ length: dim }, () => (Math.random() < 0.5 ? -1 : 1));

function likelihood(work: Extract<Work, { kind: "likelihood" }>, net: OracleNetwork): Float32Array {
  const { dim } = work.network;
  const times = timesOf(1, 0, work.steps);
  const { divergence } = work;
  return eachRow(work.x, work.n, dim, (x) => {
    const how = divergence === "exact" ? divergence : Array.from({ length: divergence.probes }, () => signs(dim));
    return [logLikelihood(networkField(net, how), x, work.method, times).logProb];
  });
}

/** A standard normal number (Box and Muller). */
function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function trainer(work: TrainWork): () => Float32Array {
  const { dim } = work.network;
  const rows = work.data.length / dim;
  const weights: Record<string, Float64Array> = Object.fromEntries(
    Object.entries(work.network.weights).map(([name, values]) => [name, Float64Array.from(values)]),
  );
  const states: Record<string, AdamState> = {};
  for (const [name, values] of Object.entries(weights)) states[name] = adamState(values.length);
  return () => {
    let last = Number.NaN;
    for (let step = 0; step < work.stepsPerRun; step++) {
      const x1 = new Float64Array(work.batch * dim);
      for (let i = 0; i < work.batch; i++) x1.set(row(work.data, dim, Math.floor(Math.random() * rows)), i * dim);
      const x0 = x1.map(normal);
      const t = Float64Array.from({ length: work.batch }, Math.random);
      const net = network({ dim, hidden: work.network.hidden, activation: work.network.activation }, weights);
      const { loss, gradients } = flowMatching(net, { x0, x1, t });
      for (const [name, gradient] of Object.entries(gradients)) {
        const [values, state] = [weights[name], states[name]];
        if (values && state) adamStep(values, gradient, state, { learningRate: 1e-3 });
      }
      last = loss;
    }
    return Float32Array.of(last);
  };
}

function programOf(work: Work): () => Float32Array {
  if (work.kind === "train") return trainer(work);
  const net = oracleNetwork(work.network);
  const { dim } = work.network;
  switch (work.kind) {
    case "velocity":
      return () => eachRow(work.x, work.n, dim, (x) => evaluate(net, work.t, x).velocity);
    case "sample": {
      const times = timesOf(0, 1, work.steps);
      const tableau: Method = work.method;
      const field = { ...networkField(net), divergence: () => 0 };
      return () => eachRow(work.x, work.n, dim, (x) => push(field, x, tableau, times).x);
    }
    case "likelihood":
      return () => likelihood(work, net);
  }
}

/**
 * The oracle of the tests on one CPU core: plain TypeScript loops in f64, one particle after the other. It shows what a
 * program without a GPU library gets; nothing was done to make it fast beyond typed arrays.
 */
export const contender: ContenderModule = {
  homes: ["node", "chrome", "deno"],
  async open(): Promise<Contender> {
    return {
      name: "cpu",
      version: "f64 oracle",
      async prepare(work): Promise<Prepared> {
        const program = programOf(work);
        let result: Float32Array | undefined;
        return {
          async run() {
            result = program();
          },
          async result() {
            if (result === undefined) throw new Error("nothing has been run");
            return result;
          },
          dispose() {},
        };
      },
      dispose() {},
    };
  },
};
