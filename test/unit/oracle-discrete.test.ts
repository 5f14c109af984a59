import { expect, test } from "vitest";
import { centralDifferences } from "../oracle/differences.ts";
import { differentiableNetwork, discreteLogLikelihood, logSize } from "../oracle/discrete.ts";
import { microNetwork } from "../oracle/micro-network.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { logLikelihood, push, standardLogDensity, tableaux, timesOf } from "../oracle/ode.ts";

const { spec, weights } = microNetwork("tanh");
const net = network(spec, weights);
const field = networkField(net);
const x = [0.3, -0.7];

for (const method of Object.keys(tableaux) as (keyof typeof tableaux)[])
  test(`the oracle's discrete log p has the determinant of the map itself, by differences: ${method}`, () => {
    const times = [1, 0.8, 0.35, 0];
    const { logProb, x0 } = discreteLogLikelihood(differentiableNetwork(net), x, method, times);
    const map = (start: ArrayLike<number>) => push(field, start, method, times).x;
    expect([...x0]).toEqual([...map(x)]);
    const jacobian = [0, 1].map((i) => centralDifferences((start) => map(start)[i] ?? Number.NaN, x));
    expect(logProb).toBeCloseTo(standardLogDensity(x0) + logSize(jacobian), 8);
  });

test("the oracle's discrete log p tends to the continuous one at the method's order", () => {
  const gap = (steps: number) => {
    const times = timesOf(1, 0, steps);
    const exact = logLikelihood(field, x, "rk4", timesOf(1, 0, 400)).logProb;
    return Math.abs(discreteLogLikelihood(differentiableNetwork(net), x, "midpoint", times).logProb - exact);
  };
  expect(gap(20) / gap(40)).toBeGreaterThan(3.5);
  expect(gap(80)).toBeLessThan(1e-3);
});

test("log|det| of matrices with known determinants", () => {
  expect(logSize([[0, 2], [3, 0]])).toBeCloseTo(Math.log(6), 14); // biome-ignore format: a matrix
  expect(logSize([[1, 2, 3], [4, 5, 6], [7, 8, 10]])).toBeCloseTo(Math.log(3), 13); // biome-ignore format: a matrix
});
