import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { frozenCopy } from "../options/frozen.ts";
import { checked, integer, type Schema } from "../options/schema.ts";
import { checkInteger, checkKeys, show } from "../options.ts";
import { operationRules } from "./operations/index.ts";
import type { InputName, InputOperation } from "./operations/input.ts";
import { type Initial, type Operation, type OperationRule, ofEach, type Place } from "./operations/rule.ts";
import { argumentsOf, Program, type Value } from "./program.ts";

/** A velocity field u_t(x) given by a network: pure data. Made by {@link network} and what is made with it. */
export interface NetworkVelocity {
  readonly kind: "network";
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
  /** Each takes results of earlier ones; the last one's result is the velocity. */
  readonly operations: readonly Operation[];
}

/** A parameter, and where it starts in the flat array of all of them. */
export interface ParameterTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
  readonly initial: Initial;
}

/** A network that has been checked: its program from the inputs x, t, label and context to the velocity, and its parameters. */
export interface Network {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
  readonly program: Program;
  readonly output: Value;
  readonly tensors: readonly ParameterTensor[];
  readonly parameterCount: number;
  /** Multiply-adds of one velocity evaluation. */
  readonly multiplyAdds: number;
}

export interface Sizes {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
}

/** Most operations of a network: each may be a kernel. */
const mostOperations = 4096;

const inputWidths = ({ dim, classes, context }: Sizes) => ({ x: dim, t: 1, label: classes, context });

function ruleOf(what: string, operation: Operation): OperationRule {
  const rule = operationRules.get(operation?.op);
  if (!rule)
    throw invalid(`${what} is ${show(operation?.op)}, but it is one of ${[...operationRules.keys()].join(", ")}`);
  return rule;
}

/** The rows of each operation's result. Throws for whatever is wrong with one. */
export function widthsOf(what: string, sizes: Sizes, operations: readonly Operation[]): number[] {
  const inputs = inputWidths(sizes);
  const widths: number[] = [];
  for (const [i, operation] of operations.entries()) {
    const name = `${what}: operation ${i}`;
    const rule = ruleOf(`${name}: op`, operation);
    const own = `${what}: ${rule.op}`;
    checkKeys(own, operation, ["op", "of", ...rule.settings]);
    if (!Array.isArray(operation.of))
      throw invalid(`${name}: of is ${show(operation.of)}, but it is a list of operations`);
    const { takes } = rule;
    const count = operation.of.length;
    if (takes === "none" ? count !== 0 : takes === "several" ? count === 0 : count !== 1)
      throw invalid(
        `${own} takes ${takes === "none" ? "no nodes" : takes === "several" ? "at least one node" : "one node"}, but got ${count}`,
      );
    for (const argument of operation.of) checkInteger(`${name}: of`, argument, 0, i - 1);
    const given = ofEach(operation.of, (argument: number) => item(widths, argument));
    widths.push(rule.width(own, operation, { widths: given, inputs, isOutput: false, activations: [] }));
  }
  return widths;
}

/**
 * Checks a network and writes its program.
 *
 * @throws PushforwardError `invalid-argument` for whatever is wrong with it.
 */
export function compileNetwork(what: string, sizes: Sizes, operations: readonly Operation[]): Network {
  const { dim, classes, context } = sizes;
  if (!Array.isArray(operations) || operations.length === 0)
    throw invalid(`${what}: operations is ${show(operations)}, but it is a list of operations`);
  if (operations.length > mostOperations)
    throw invalid(`${what}: it has ${operations.length} operations, but at most ${mostOperations} are allowed`);
  const widths = widthsOf(what, sizes, operations);
  const last = operations.length - 1;
  if (widths[last] !== dim)
    throw invalid(
      `${what}: the output has width ${widths[last]}, but the velocity of dim ${dim} has ${dim}: end with linear(…, ${dim}, "out")`,
    );
  checkUsed(what, sizes, operations);
  /** The activations that each result goes through. */
  const activations = operations.map((): string[] => []);
  for (const operation of operations)
    if ("activation" in operation)
      for (const from of operation.of) item(activations, from).push(String(operation.activation));
  const program = new Program();
  const values: Value[] = [];
  const tensors: ParameterTensor[] = [];
  let offset = 0;
  for (const [i, operation] of operations.entries()) {
    const rule = ruleOf(what, operation);
    const place: Place = {
      widths: ofEach(operation.of, (argument: number) => item(widths, argument)),
      inputs: inputWidths(sizes),
      isOutput: i === last,
      activations: item(activations, i),
    };
    for (const { name, shape, initial } of rule.parameters?.(operation, place) ?? []) {
      if (tensors.some((tensor) => tensor.name === name))
        throw invalid(`${what}: two operations have the tensor "${name}": give each layer a name of its own`);
      const size = shape.reduce((product, n) => product * n, 1);
      tensors.push({ name, shape, offset, size, initial });
      offset += size;
    }
    const of = ofEach(operation.of, (argument: number) => item(values, argument));
    values.push(rule.write(program, operation, of, item(widths, i)));
  }
  const output = values[last] as number;
  checkReached(what, sizes, program, output, tensors);
  return {
    dim,
    classes,
    context,
    program,
    output,
    tensors,
    parameterCount: offset,
    multiplyAdds: program.multiplyAdds,
  };
}

/** Throws for inputs that were asked for and operations that were made, but lead nowhere. */
function checkUsed(what: string, { classes, context }: Sizes, operations: readonly Operation[]): void {
  const used = operations.map((_, i) => i === operations.length - 1);
  for (let i = operations.length - 1; i >= 0; i--)
    if (used[i]) for (const argument of item(operations, i).of) used[argument] = true;
  const reads = (name: InputName) =>
    operations.some(
      (operation, i) => used[i] && operation.op === "input" && (operation as InputOperation).input === name,
    );
  const declared = { x: true, label: classes > 0, context: context > 0 };
  for (const name of ["x", "label", "context"] as const)
    if (declared[name] && !reads(name))
      throw invalid(
        `${what}: the input ${name} is not used: let it reach the output${name === "x" ? "" : `, or leave ${name === "label" ? "classes" : "context"} out`}`,
      );
  const idle = operations.find((operation, i) => !used[i] && operation.op !== "input");
  if (idle)
    throw invalid(
      `${what}: the result of ${idle.op}${"name" in idle ? ` "${String(idle.name)}"` : ""} is not used: let it reach the output, or leave it out`,
    );
}

/** Throws for inputs that were asked for and parameters of which slices leave nothing that reaches the output. */
function checkReached(
  what: string,
  { classes, context }: Sizes,
  program: Program,
  output: Value,
  tensors: readonly ParameterTensor[],
): void {
  const needed = new Set([output]);
  for (const value of needed) for (const argument of argumentsOf(program.at(value))) needed.add(argument);
  const inputs = new Set<string>();
  const parameters = new Set<string | undefined>();
  for (const value of needed) {
    const step = program.at(value);
    if (step.kind === "input") inputs.add(step.name);
    if (step.kind === "parameter" || step.kind === "linear") parameters.add(step.tensor);
    if (step.kind === "linear") parameters.add(step.bias);
  }
  const declared = { x: true, label: classes > 0, context: context > 0 };
  for (const name of ["x", "label", "context"] as const)
    if (declared[name] && !inputs.has(name))
      throw invalid(
        `${what}: nothing of the input ${name} is in the output: slices leave it out; let it reach the output${name === "x" ? "" : `, or leave ${name === "label" ? "classes" : "context"} out`}`,
      );
  const idle = tensors.find(({ name }) => !parameters.has(name));
  if (idle)
    throw invalid(
      `${what}: nothing of "${idle.name}" is in the output: slices leave it out; let it reach the output, or leave its layer out`,
    );
}

/** A node of a network that is being built: a vector of `width` features per particle. */
export class Node {
  /** Numbers per particle. */
  readonly width: number;
  /** Of the network that it belongs to. @internal */
  readonly builder: Builder;
  /** @internal */
  readonly index: number;

  /** @internal */
  constructor(builder: Builder, index: number, width: number) {
    this.builder = builder;
    this.index = index;
    this.width = width;
  }
}

/** Collects the operations of a network. */
class Builder {
  readonly operations: Operation[] = [];
  readonly #sizes: Sizes;
  readonly #what: string;

  constructor(what: string, sizes: Sizes) {
    this.#what = what;
    this.#sizes = sizes;
  }

  apply(operation: Record<string, unknown> & { readonly op: string }, nodes: readonly Node[]): Node {
    const what = `${this.#what}: ${operation.op}`;
    for (const node of nodes) {
      if (!(node instanceof Node))
        throw invalid(`${what}: ${show(node)} is no node: pass an input of the network or what an operation returned`);
      if (node.builder !== this)
        throw invalid(`${what}: a node belongs to another network: use the inputs of this one`);
    }
    const made: Operation = { ...operation, of: nodes.map(({ index }) => index) };
    const rule = ruleOf(what, made);
    const widths = ofEach(nodes, ({ width }) => width);
    const width = rule.width(what, made, {
      widths,
      inputs: inputWidths(this.#sizes),
      isOutput: false,
      activations: [],
    });
    // what has been checked is plain data, which can be copied
    return new Node(this, this.operations.push(frozenCopy(made)) - 1, width);
  }
}

export interface NetworkInputs {
  /** The state [dim]. */
  readonly x: Node;
  /** The time [1], from 0 to 1. */
  readonly t: Node;
  /** One-hot label [classes]; all zeros for the null class. */
  readonly label: Node;
  /** [context]. */
  readonly context: Node;
}

export interface NetworkOptions {
  dim: number;
  /** Class-conditional: a one-hot input; the null class is all zeros. Default 0. */
  classes?: number;
  /** Number of real-valued context inputs. Default 0. */
  context?: number;
}

const mostInputs = 1 << 16;

/** What every network is made for. */
export const sizeFields = {
  dim: { check: integer(1, mostInputs), required: true },
  classes: { check: integer(0, mostInputs), fallback: 0 },
  context: { check: integer(0, mostInputs), fallback: 0 },
} as const satisfies Schema<NetworkOptions>;

/** Checks the sizes of a field among other options. */
export function checkSizes(what: string, { dim, classes, context }: NetworkOptions): Sizes {
  return checked(what, sizeFields, {
    dim,
    ...(classes !== undefined && { classes }),
    ...(context !== undefined && { context }),
  });
}

/** The operations that `build` puts together, with the one of the output last. */
export function buildOperations(
  what: string,
  sizes: Sizes,
  build: (inputs: NetworkInputs) => Node,
): readonly Operation[] {
  const builder = new Builder(what, sizes);
  const input = (name: InputName) => builder.apply({ op: "input", input: name }, []);
  const inputs = { x: input("x"), t: input("t"), label: input("label"), context: input("context") };
  const output = build(inputs);
  if (!(output instanceof Node) || output.builder !== builder)
    throw invalid(`${what}: build returned ${show(output)}, but it returns the node of the velocity`);
  const { operations } = builder;
  if (output.index !== operations.length - 1) {
    // the output goes last, which a scale by one does without another step
    builder.apply({ op: "scale", by: 1 }, [output]);
  }
  return withoutIdleInputs(operations);
}

/** Leaves out the inputs that nothing takes. */
function withoutIdleInputs(operations: readonly Operation[]): readonly Operation[] {
  const taken = new Set(operations.flatMap(({ of }) => of));
  const moved = new Map<number, number>();
  const kept: Operation[] = [];
  for (const [i, operation] of operations.entries()) {
    if (operation.op === "input" && !taken.has(i)) continue;
    moved.set(i, kept.length);
    kept.push(
      Object.freeze({ ...operation, of: Object.freeze(operation.of.map((from) => moved.get(from) as number)) }),
    );
  }
  return Object.freeze(kept);
}

/**
 * A velocity field u_t(x) by a network of one's own, put together from {@link linear}, {@link activate}, {@link add},
 * {@link multiply}, {@link scale}, {@link shift}, {@link concat}, {@link slice}, {@link fourier} and {@link layerNorm}. Everything that a flow can do
 * with an {@link mlp} it can do with any network.
 *
 * @param build from the inputs, nodes of width dim, 1, classes and context, to the velocity, a node of width dim.
 * @throws PushforwardError `invalid-argument` for widths that do not fit, names used twice, inputs and nodes that are not used, and an
 *   output of the wrong width.
 * @example
 * import { activate, add, linear, network } from "pushforward";
 * const velocity = network({ dim: 2 }, ({ x, t }) => {
 *   const h = activate(add(linear(x, 64, "x"), linear(t, 64, "t")), "silu");
 *   return linear(add(h, activate(linear(h, 64, "inner"), "silu")), 2, "out");
 * });
 */
export function network(options: NetworkOptions, build: (inputs: NetworkInputs) => Node): NetworkVelocity {
  const sizes = checked("network", sizeFields, options);
  if (typeof build !== "function")
    throw invalid(`network: build is ${show(build)}, but it is a function from the inputs to the node of the velocity`);
  return networkVelocity("network", sizes, build);
}

/** {@link network} in the name of another function. */
export function networkVelocity(what: string, sizes: Sizes, build: (inputs: NetworkInputs) => Node): NetworkVelocity {
  const operations = buildOperations(what, sizes, build);
  compileNetwork(what, sizes, operations);
  return Object.freeze({ kind: "network", ...sizes, operations });
}
