import { builtinDerivative, type Dual, flat, isBuiltin, reducing } from "./builtins.ts";
import { isConstructor, resolveType, type Scope } from "./scope.ts";
import type { Expression, FunctionNode, ModuleNode } from "./syntax.ts";
import { unsupported } from "./tokens.ts";
import { concrete, isReal, joined, scalar, type Type, typeText, zero } from "./types.ts";

/** What an expression needs of the function that it stands in. */
export interface Surroundings {
  readonly module: ModuleNode;
  readonly source: string;
  readonly scope: Scope;
  /** Adds a line before the statement at hand and returns the name that it gives to the text. */
  keep(text: string): string;
  /** The name of a function's derivative for arguments of which some have one. */
  derivativeOf(made: FunctionNode, active: readonly boolean[]): string;
}

type Of<K extends Expression["kind"]> = Extract<Expression, { kind: K }>;

const textOf = (around: Surroundings, e: Expression) => `(${around.source.slice(e.start, e.end)})`;
const bool = scalar("bool");

/** Value and derivative of an expression; what has no derivative stays the user's own text. */
export function dual(around: Surroundings, e: Expression): Dual {
  switch (e.kind) {
    case "number":
      return { type: literal(e.text, e.line), value: e.text };
    case "name":
      return named(around, e);
    case "group":
      return { ...dual(around, e.of) };
    case "unary": {
      if (e.sign === "!") return { type: bool, value: textOf(around, e) };
      const { type, derivative, value } = dual(around, e.of);
      if (!derivative) return { type, value: textOf(around, e) };
      return { type, value: around.keep(`-${value}`), derivative: around.keep(`-${derivative}`) };
    }
    case "binary":
      return binary(around, e);
    case "index": {
      const of = dual(around, e.of);
      if (of.type.kind === "scalar") throw unsupported("an index of a number", e.line);
      const type = of.type.kind === "array" ? of.type.of : scalar(of.type.of);
      return part(of, type, `[${around.source.slice(e.at.start, e.at.end)}]`);
    }
    case "member": {
      const of = dual(around, e.of);
      if (of.type.kind !== "vector") throw unsupported(`.${e.name} of what is no vector`, e.line);
      const type: Type =
        e.name.length === 1 ? scalar(of.type.of) : { kind: "vector", size: e.name.length, of: of.type.of };
      return part(of, type, `.${e.name}`);
    }
    case "call":
      return call(around, e);
  }
}

const part = ({ value, derivative }: Dual, type: Type, which: string): Dual => ({
  type,
  value: `${value}${which}`,
  derivative: derivative && `${derivative}${which}`,
});

function literal(text: string, line: number): Type {
  if (/^0[xX]/.test(text)) return scalar(text.endsWith("u") ? "u32" : "int");
  if (text.endsWith("h")) throw unsupported("a number of type f16", line);
  if (text.endsWith("f")) return scalar("f32");
  if (text.endsWith("u")) return scalar("u32");
  if (text.endsWith("i")) return scalar("i32");
  return scalar(/[.eE]/.test(text) ? "float" : "int");
}

function named(around: Surroundings, e: Of<"name">): Dual {
  const { module, scope } = around;
  const local = scope.get(e.text);
  if (local) return { type: local.type, value: e.text, derivative: local.derivative };
  if (e.text === "DIM") return { type: scalar("int"), value: e.text };
  if (e.text === "true" || e.text === "false") return { type: bool, value: e.text };
  const constant = module.constants.get(e.text);
  if (constant?.type) return { type: resolveType(module, constant.type, around.source), value: e.text };
  if (constant?.value) return { type: dual(around, constant.value).type, value: e.text };
  const other = module.others.get(e.text);
  throw unsupported(other ? `${other} (${e.text})` : `the unknown name ${e.text}`, e.line);
}

function binary(around: Surroundings, e: Of<"binary">): Dual {
  const { sign } = e;
  if (/^(\|\||&&|==|!=|<|>|<=|>=)$/.test(sign)) {
    const wide = [e.left, e.right].map((side) => dual(around, side).type).find(({ kind }) => kind === "vector");
    return { type: wide?.kind === "vector" ? { ...wide, of: "bool" } : bool, value: textOf(around, e) };
  }
  const [a, b] = [dual(around, e.left), dual(around, e.right)];
  if (sign === "<<" || sign === ">>") return { type: a.type, value: textOf(around, e) };
  const type = joined(a.type, b.type);
  if (!type) throw unsupported(`"${sign}" of an array`, e.line);
  if (!a.derivative && !b.derivative) return { type, value: textOf(around, e) };
  return arithmetic(around, sign, a, b, type, e.line);
}

/** a ⋅ b and its derivative, where at least one of them has one. */
export function arithmetic(around: Surroundings, sign: string, a: Dual, b: Dual, type: Type, line: number): Dual {
  const value = around.keep(`${a.value} ${sign} ${b.value}`);
  const [da, db] = [a.derivative, b.derivative];
  const wide = (text: string, of: Type) => (of.kind === type.kind ? text : `${typeText(type)}(${text})`);
  const terms: Record<string, () => (string | undefined)[]> = {
    "+": () => [da && wide(da, a.type), db && wide(db, b.type)],
    "-": () => [da && wide(da, a.type), db && `-${wide(db, b.type)}`],
    "*": () => [da && `${da} * ${b.value}`, db && `${a.value} * ${db}`],
    "/": () => [da && `${da} / ${b.value}`, db && `-(${value} * ${db} / ${b.value})`],
    "%": () => [da && wide(da, a.type), db && `-(trunc(${a.value} / ${b.value}) * ${db})`],
  };
  const made = terms[sign]?.();
  if (!made) throw unsupported(`"${sign}" of real numbers`, line);
  return { type, value, derivative: around.keep(made.filter(Boolean).join(" + ")) };
}

function call(around: Surroundings, e: Of<"call">): Dual {
  const { module, source } = around;
  const { name } = e.type;
  const own = module.functions.get(name);
  if (own) return ownCall(around, e, own);
  if (isConstructor(module, name)) return construct(around, e);
  const value = textOf(around, e);
  if (name === "all" || name === "any") return { type: bool, value };
  if (name === "bitcast") throw unsupported("a bitcast", e.line);
  if (name === "select") {
    const [no, yes, test] = e.args;
    if (!no || !yes || !test) throw unsupported("select without three values", e.line);
    const [a, b] = [dual(around, no), dual(around, yes)];
    const type = joined(a.type, b.type) ?? a.type;
    if (!a.derivative && !b.derivative) return { type, value };
    const which = `${source.slice(test.start, test.end)}`;
    return {
      type,
      value: around.keep(`select(${a.value}, ${b.value}, ${which})`),
      derivative: around.keep(`select(${a.derivative ?? zero(type)}, ${b.derivative ?? zero(type)}, ${which})`),
    };
  }
  if (!isBuiltin(name) || e.args.length === 0) throw unsupported(`a call of ${name}`, e.line);
  const args = e.args.map((arg) => dual(around, arg));
  const joint = args.map(({ type }) => type).reduce<Type | undefined>((a, b) => a && joined(a, b), scalar("int"));
  if (!joint || joint.kind === "array") throw unsupported(`${name} of an array`, e.line);
  const type: Type = reducing.has(name) ? scalar(joint.of) : joint;
  if (flat.has(name) || args.every(({ derivative }) => !derivative)) return { type, value };
  const result = around.keep(`${name}(${args.map((arg) => arg.value).join(", ")})`);
  const derivative = builtinDerivative(name, result, type, args);
  return { type, value: result, derivative: derivative && around.keep(derivative) };
}

function construct(around: Surroundings, e: Of<"call">): Dual {
  const { module, source } = around;
  const { name, args: written } = e.type;
  const value = textOf(around, e);
  const open = written.length === 0 && /^(vec[234]|array)$/.test(name);
  let type = open ? undefined : resolveType(module, e.type, source);
  if (type && (!isReal(type) || e.args.length === 0)) return { type, value };
  const args = e.args.map((arg) => dual(around, arg));
  if (!type) {
    const [first] = args;
    if (!first) throw unsupported(`${name} of nothing`, e.line);
    if (name === "array") {
      const of = args.find((arg) => arg.derivative)?.type ?? first.type;
      type = { kind: "array", size: String(args.length), of: concrete(of) };
    } else {
      const each = args.map((arg) => (arg.type.kind === "array" ? arg.type : scalar(arg.type.of)));
      const of = each.reduce((a, b) => joined(a, b) ?? a);
      type = { kind: "vector", size: Number(name.at(3)), of: of.kind === "scalar" ? of.of : "f32" };
    }
  }
  if (args.every(({ derivative }) => !derivative)) return { type, value };
  const make = (parts: string[]) => around.keep(`${typeText(type)}(${parts.join(", ")})`);
  return {
    type,
    value: make(args.map((arg) => arg.value)),
    derivative: make(args.map(({ derivative, type: of }) => derivative ?? zero(isReal(of) ? of : scalar("f32")))),
  };
}

function ownCall(around: Surroundings, e: Of<"call">, made: FunctionNode): Dual {
  if (!made.result) throw unsupported(`the value of ${made.name}, which returns none`, e.line);
  const type = resolveType(around.module, made.result, around.source);
  const value = textOf(around, e);
  if (!isReal(type)) return { type, value };
  const args = e.args.map((arg) => dual(around, arg));
  if (args.every(({ derivative }) => !derivative)) return { type, value };
  const derivative = around.derivativeOf(
    made,
    args.map((arg) => arg.derivative !== undefined),
  );
  const given = args.flatMap((arg) => (arg.derivative ? [arg.value, arg.derivative] : [arg.value]));
  const both = around.keep(`${derivative}(${given.join(", ")})`);
  return { type, value: `${both}.value`, derivative: `${both}.derivative` };
}
