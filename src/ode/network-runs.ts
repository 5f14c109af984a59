import type { ChainDevice } from "../kernels/chain.ts";
import { must } from "../must.ts";
import { reverse, tangentOfX, withTangents } from "../network/derivatives.ts";
import type { Network } from "../network/network.ts";
import type { Program, Value } from "../network/program.ts";
import { type Place, wholeBuffer } from "../network/stages.ts";
import { inputPlaces, Run } from "../velocity/run.ts";

/** A program of a network to its velocity, and inputs of it that lie elsewhere than in "h0". */
interface Whole {
  readonly program: Program;
  readonly output: Value;
  readonly places: ReadonlyMap<string, Place>;
}

/**
 * What is made of a network: its values; with tangents "dh0" → "jv", [tangents][dim]; these with their products behind the velocity,
 * [tangents][dim]; the reverse "ubar" → "xbar".
 */
export type RunKind = "values" | "tangents" | "products" | "reverse";

/** The kernels of a network's programs, each made when it is first needed. Inputs are in "h0", the velocity goes to "u". */
export function runsOf(
  network: Network,
  { program, output, places }: Whole,
  chain?: ChainDevice,
): (kind: RunKind) => Run {
  const tableOf = (kind: RunKind) => chain && { ...chain, table: `links of ${kind}` };
  const rows = (buffer: string) => wholeBuffer(buffer, network.dim);
  const inputs = () => new Map([...inputPlaces(network, "h0"), ...places]);
  const velocity = { value: output, place: rows("u") };

  const forward = (kind: RunKind, place: Place, lateInputs: string[]) => {
    const made = withTangents(program, output);
    const outputs = [
      { value: made.output, place: velocity.place },
      { value: made.tangent, place },
    ];
    const given = inputs().set(tangentOfX, rows("dh0"));
    return new Run(network, made.program, { inputs: given, outputs, lateInputs, prefix: "n" }, tableOf(kind));
  };
  const backward = () => {
    const copy = program.copy();
    const cotangent = copy.input("ubar", network.dim);
    const { inputs: cotangents } = reverse(copy, [{ of: output, cotangent }], ["x"], false);
    const value = must(cotangents.get("x"), "the gradient by x of a velocity, which depends on x");
    const given = inputs().set("ubar", rows("ubar"));
    const outputs = [velocity, { value, place: rows("xbar") }];
    return new Run(network, copy, { inputs: given, outputs, lateInputs: ["ubar"], prefix: "n" }, tableOf("reverse"));
  };
  const make: Readonly<Record<RunKind, () => Run>> = {
    values: () => new Run(network, program, { inputs: inputs(), outputs: [velocity], prefix: "n" }, tableOf("values")),
    tangents: () => forward("tangents", rows("jv"), [tangentOfX]),
    products: () => forward("products", { ...rows("u"), row: network.dim }, []),
    reverse: backward,
  };
  const made: Partial<Record<RunKind, Run>> = {};
  return (kind) => {
    made[kind] ??= make[kind]();
    return made[kind];
  };
}
