import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

/*
 * A default for an element (`list[i] ?? 0`, `map.get(key) ?? []`, `const [first = 0] = list`), and an empty array for anything that
 * is missing, turn a fault of ours into wrong numbers. Where the element must be there, `item` and `must` of src/must.ts say so; in
 * loops over particles and weights `list[i] as number` does, with the lengths checked before. Where a default is meant, it stands
 * here with its reason.
 */
const meant: Readonly<Record<string, readonly [count: number, reason: string]>> = {
  "shaders/row-functions.ts": [2, "an activation that was not met before; functions of one number have no second one"],
  "shaders/invocation-values.ts": [1, "a number that is the same in each turn has no stride"],
  "src/network/repeats.ts": [1, "texts of unlike numbers do not repeat: NaN is no stride"],
  "src/ode/tiers.ts": [1, "a kind of work that was not asked for before"],
  "src/kernels/adaptive.ts": [1, "rows of a tableau end before the diagonal: zeros from there on"],
  "src/kernels/finish.ts": [1, "a store of what is no result has no order"],
  "src/solvers/schedule.ts": [1, "rows of a tableau end before the diagonal: zeros from there on"],
  "src/gpu/pipelines.ts": [1, "a binding begins where its buffer does, unless its dispatch says where"],
  "src/train/fingerprint.ts": [2, "an option that was not set, in words"],
  "shaders/dispatch.ts": [1, "a binding begins where its buffer does, unless its dispatch says where"],
  "src/kernels/sized.ts": [1, "a binding begins where its buffer does, unless its dispatch says where"],
  "src/view/draws.ts": [1, "a colour without a fourth number covers whole"],
  "src/train/layer-gradients.ts": [1, "a vector has one column"],
  "shaders/tile-reverse.ts": [1, "a vector has one column"],
  "src/velocity/dense-layout.ts": [1, "a vector has one column"],
  "src/velocity/narrow-layout.ts": [1, "a vector has one column"],
  "cli/arguments.ts": [1, "a text that is no fourier:K has no K, which is refused as any other"],
  "cli/checkpoint.ts": [1, "metadata of another program"],
  "cli/commands/log-prob.ts": [1, "scores of a file without rows"],
  "cli/csv-shape.ts": [6, "files without a line of names, and the cell behind the last one"],
  "cli/csv-survey.ts": [1, "a pattern that was not counted before"],
  "cli/csv.ts": [1, "an option that is left out"],
  "cli/plot/ticks.ts": [1, "a whole number has no decimals"],
  "cli/program.ts": [1, "a command line without words"],
  "cli/training-readers.ts": [
    5,
    "parts that a text of the command line leaves out, which are refused as any other text",
  ],
  "cli/unknown-errors.ts": [1, "a command whose work has no name"],
};

const root = fileURLToPath(new URL("../..", import.meta.url));
const kind = ts.SyntaxKind;

/** Without parentheses and assertions. */
function bare(node: ts.Expression): ts.Expression {
  return ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isNonNullExpression(node)
    ? bare(node.expression)
    : node;
}

function isConstant(given: ts.Expression): boolean {
  const node = bare(given);
  if (ts.isPrefixUnaryExpression(node)) return isConstant(node.operand);
  if (ts.isArrayLiteralExpression(node)) return node.elements.every(isConstant);
  if (ts.isObjectLiteralExpression(node))
    return node.properties.every((part) => ts.isPropertyAssignment(part) && isConstant(part.initializer));
  if (ts.isNewExpression(node)) return (node.arguments ?? []).every(isConstant);
  if (ts.isPropertyAccessExpression(node)) return node.expression.getText() === "Number";
  if (ts.isIdentifier(node)) return node.text === "NaN";
  return ts.isLiteralExpression(node) || node.kind === kind.TrueKeyword || node.kind === kind.FalseKeyword;
}

/** `a[i]`, `map.get(key)`, `list.at(i)`, `list.find(…)`, and what is a part of these. */
function isElement(given: ts.Expression): boolean {
  const node = bare(given);
  if (ts.isElementAccessExpression(node)) return true;
  if (ts.isPropertyAccessExpression(node)) return isElement(node.expression);
  if (!ts.isCallExpression(node)) return false;
  const called = bare(node.expression);
  return (
    ts.isPropertyAccessExpression(called) &&
    (["get", "at", "find"].includes(called.name.text) || isElement(called.expression))
  );
}

function isSilent(node: ts.Node): boolean {
  if (ts.isBindingElement(node))
    return node.initializer !== undefined && ts.isArrayBindingPattern(node.parent) && isConstant(node.initializer);
  if (!ts.isBinaryExpression(node)) return false;
  const { left, right, operatorToken, parent } = node;
  if (operatorToken.kind === kind.EqualsToken) return ts.isArrayLiteralExpression(parent) && isConstant(right);
  if (operatorToken.kind !== kind.QuestionQuestionToken || !isConstant(right)) return false;
  return isElement(left) || ts.isNewExpression(bare(right));
}

/** The defaults of a text that would keep silent, with their lines. */
function silences(path: string, text: string): string[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (isSilent(node)) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      found.push(`${path}:${line + 1}: ${node.getText().replace(/\s+/g, " ")}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const files = ["src", "shaders", "cli"].flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => posix.join(top, name.replaceAll("\\", "/"))),
);
const all = new Map(files.map((path) => [path, silences(path, readFileSync(join(root, path), "utf8"))] as const));

test("no default stands in for an element that must be there: use item or must, or give its reason here", () => {
  const unexpected = [...all].flatMap(([path, found]) => {
    const [count] = meant[path] ?? [0];
    return found.length === count ? [] : [`${count} meant`, ...found];
  });
  expect(unexpected).toEqual([]);
  expect(Object.keys(meant).filter((path) => !all.has(path))).toEqual([]);
});

test.each([
  ["const a = list[i] ?? 0;", 1],
  ["const a = (list[i]?.[j] ?? -1) + (map.get(key)?.size ?? 0);", 2],
  ["const [a = 0, b = NaN, ...rest] = list; [c = 0] = list;", 3],
  ["const a = tensor ?? new Float32Array(0);", 1],
  ["const { offset } = tensors[k] ?? {};", 1],
  ["const a = options.seed ?? 0; const b = list[i] ?? other; const c = list[i] as number;", 0],
  ["function f({ a = 0 }, b = 1) { return item(list, 0) ?? a; }", 0],
])("the count of silent defaults in %s is %i", (text, count) => {
  expect(silences("a.ts", text)).toHaveLength(count);
});
