import { item } from "../must.ts";
import type { Expression, FunctionNode, ModuleNode, Statement, TypeNode } from "./syntax.ts";
import { type Token, tokenize, unsupported } from "./tokens.ts";

const templates = /^(array|vec[234]|mat[234]x[234]|bitcast|ptr|atomic)$/;
/** Binary operators from the loosest to the tightest. */
const levels = [
  ["||"],
  ["&&"],
  ["|"],
  ["^"],
  ["&"],
  ["==", "!="],
  ["<", ">", "<=", ">="],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "%"],
];
const additive = 8;
/** Brackets and blocks within one another: what WGSL promises for blocks (WGSL §2.4, limits). */
const deepest = 127;

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[], at = 0) {
    this.#tokens = tokens;
    this.#at = at;
  }

  get #now(): Token {
    return this.#tokens[this.#at] as Token; // the last token is the end, which is never passed
  }

  get #ends(): boolean {
    return this.#now.kind === "end";
  }

  #take(): Token {
    const token = this.#now;
    if (token.kind !== "end") this.#at++;
    return token;
  }

  #is(text: string): boolean {
    return !this.#ends && this.#now.text === text;
  }

  #accept(text: string): boolean {
    const found = this.#is(text);
    if (found) this.#at++;
    return found;
  }

  #expect(text: string): Token {
    if (!this.#is(text)) throw unsupported(`"${this.#now.text}" where "${text}" is expected`, this.#now.line);
    return this.#take();
  }

  #name(): string {
    if (this.#now.kind !== "name") throw unsupported(`"${this.#now.text}" where a name is expected`, this.#now.line);
    return this.#take().text;
  }

  #placed(start: Token) {
    return { start: start.start, end: item(this.#tokens, this.#at - 1).end, line: start.line };
  }

  #skipBraces(): void {
    for (let depth = 0; !this.#ends; ) {
      const { text } = this.#take();
      if (text === "{") depth++;
      if (text === "}" && --depth === 0) return;
    }
  }

  module(): ModuleNode {
    const functions = new Map<string, FunctionNode>();
    const constants = new Map<string, { type?: TypeNode | undefined; value?: Expression | undefined }>();
    const aliases = new Map<string, TypeNode>();
    const others = new Map<string, string>();
    while (!this.#ends) {
      if (this.#accept(";")) continue;
      const token = this.#take();
      if (token.text === "fn") {
        const made = this.#function(token);
        functions.set(made.name, made);
      } else if (token.text === "const" || token.text === "override") {
        const name = this.#name();
        const type = this.#accept(":") ? this.#type() : undefined;
        constants.set(name, { type, value: this.#accept("=") ? this.#expression() : undefined });
      } else if (token.text === "alias") {
        const name = this.#name();
        this.#expect("=");
        aliases.set(name, this.#type());
      } else if (token.text === "struct") {
        others.set(this.#name(), "a struct");
        this.#skipBraces();
      } else if (token.text === "var") {
        while (!this.#is(":") && !this.#is("=") && !this.#is(";") && !this.#ends) this.#at++;
        others.set(item(this.#tokens, this.#at - 1).text, "a module variable");
        while (!this.#is(";") && !this.#ends) this.#at++;
      } else throw unsupported(`"${token.text}" at module scope`, token.line);
    }
    return { functions, constants, aliases, others };
  }

  #function(start: Token): FunctionNode {
    const name = this.#name();
    this.#expect("(");
    const parameters: { name: string; type: TypeNode }[] = [];
    while (!this.#is(")")) {
      const parameter = this.#name();
      this.#expect(":");
      parameters.push({ name: parameter, type: this.#type() });
      if (!this.#accept(",")) break;
    }
    this.#expect(")");
    const result = this.#accept("->") ? this.#type() : undefined;
    const at = this.#at;
    this.#skipBraces();
    const body = () => new Parser(this.#tokens, at).block();
    return { name, parameters, result, line: start.line, body };
  }

  #type(): TypeNode {
    return this.#within(() => this.#anyType());
  }

  #anyType(): TypeNode {
    const { line } = this.#now;
    const name = this.#name();
    const args: (TypeNode | Expression)[] = [];
    if (this.#accept("<")) {
      while (!this.#is(">")) {
        const isType = this.#now.kind === "name" && (args.length === 0 || name === "ptr");
        args.push(isType ? this.#type() : this.#expression(additive));
        if (!this.#accept(",")) break;
      }
      this.#expect(">");
    }
    return { name, args, line };
  }

  /** What `parse` makes of something that may hold itself, as deep as WGSL allows it. */
  #within<T>(parse: () => T): T {
    if (this.#depth === deepest)
      throw unsupported(`more than ${deepest} brackets and blocks within one another`, this.#now.line);
    this.#depth++;
    const made = parse();
    this.#depth--;
    return made;
  }

  /** The operator that stands here; two signs that touch are one where the first is ">". */
  #operator(): string {
    const { text, end, kind } = this.#now;
    const after = this.#tokens[this.#at + 1];
    if (kind === "sign" && text === ">" && after?.start === end && (after.text === ">" || after.text === "="))
      return text + after.text;
    return kind === "sign" ? text : "";
  }

  #expression(level = 0): Expression {
    return this.#within(() => this.#binary(level));
  }

  #binary(level: number): Expression {
    if (level === levels.length) return this.#unary();
    const start = this.#now;
    let left = this.#binary(level + 1);
    for (let sign = this.#operator(); levels[level]?.includes(sign); sign = this.#operator()) {
      this.#at += sign === ">>" || sign === ">=" ? 2 : 1;
      const right = this.#binary(level + 1);
      left = { kind: "binary", sign, left, right, ...this.#placed(start) };
    }
    return left;
  }

  #unary(): Expression {
    const start = this.#now;
    if (start.kind === "sign" && ["-", "!", "~"].includes(start.text)) {
      this.#take();
      const of = this.#within(() => this.#unary());
      return { kind: "unary", sign: start.text, of, ...this.#placed(start) };
    }
    if (this.#is("--")) {
      // "--x" is twice a minus, as WGSL has no such prefix operator; rare enough to be told
      throw unsupported('"--" before a value', start.line);
    }
    if (this.#is("&") || this.#is("*")) throw unsupported("a pointer", start.line);
    let value = this.#primary();
    for (;;) {
      if (this.#accept("[")) {
        const at = this.#expression();
        this.#expect("]");
        value = { kind: "index", of: value, at, ...this.#placed(start) };
      } else if (this.#accept(".")) {
        const name = this.#name();
        value = { kind: "member", of: value, name, ...this.#placed(start) };
      } else return value;
    }
  }

  #primary(): Expression {
    const start = this.#now;
    if (start.kind === "number") {
      const { text } = this.#take();
      return { kind: "number", text, ...this.#placed(start) };
    }
    if (this.#accept("(")) {
      const of = this.#expression();
      this.#expect(")");
      return { kind: "group", of, ...this.#placed(start) };
    }
    const after = this.#tokens[this.#at + 1];
    const type: TypeNode =
      templates.test(start.text) && after?.text === "<"
        ? this.#type()
        : { name: this.#name(), args: [], line: start.line };
    if (!this.#accept("(")) return { kind: "name", text: type.name, ...this.#placed(start) };
    const args: Expression[] = [];
    while (!this.#is(")")) {
      args.push(this.#expression());
      if (!this.#accept(",")) break;
    }
    this.#expect(")");
    return { kind: "call", type, args, ...this.#placed(start) };
  }

  block(): Statement {
    const start = this.#expect("{");
    const body: Statement[] = [];
    while (!this.#is("}")) body.push(this.#statement());
    this.#expect("}");
    return { kind: "block", body, ...this.#placed(start) };
  }

  #statement(): Statement {
    return this.#within(() => this.#anyStatement());
  }

  #anyStatement(): Statement {
    const start = this.#now;
    const placed = () => this.#placed(start);
    if (this.#is("{")) return this.block();
    if (this.#accept(";")) return { kind: "ignored", ...placed() };
    if (this.#accept("if")) {
      const test = this.#expression();
      const then = this.block();
      const otherwise = this.#accept("else") ? (this.#is("if") ? this.#statement() : this.block()) : undefined;
      return { kind: "if", test, then, otherwise, ...placed() };
    }
    if (this.#accept("while")) {
      const test = this.#expression();
      return { kind: "while", test, body: this.block(), ...placed() };
    }
    if (this.#accept("for")) {
      this.#expect("(");
      const first = this.#is(";") ? undefined : this.#simple();
      this.#expect(";");
      const test = this.#is(";") ? undefined : this.#expression();
      this.#expect(";");
      const next = this.#is(")") ? undefined : this.#simple();
      this.#expect(")");
      return { kind: "for", first, test, next, body: this.block(), ...placed() };
    }
    if (this.#accept("loop")) return this.#loop(start);
    const made = this.#simple();
    this.#expect(";");
    return made;
  }

  #loop(start: Token): Statement {
    const open = this.#expect("{");
    const body: Statement[] = [];
    let continuing: Statement | undefined;
    while (!this.#is("}")) {
      if (this.#accept("continuing")) continuing = this.block();
      else body.push(this.#statement());
    }
    this.#expect("}");
    const block: Statement = { kind: "block", body, ...this.#placed(open) };
    return { kind: "loop", body: block, continuing, ...this.#placed(start) };
  }

  /** A statement without its semicolon. */
  #simple(): Statement {
    const start = this.#now;
    const placed = () => this.#placed(start);
    const word = start.kind === "name" ? start.text : "";
    if (word === "let" || word === "var" || word === "const") {
      this.#take();
      if (this.#accept("<")) {
        this.#expect("function");
        this.#expect(">");
      }
      const name = this.#name();
      const type = this.#accept(":") ? this.#type() : undefined;
      const value = this.#accept("=") ? this.#expression() : undefined;
      return { kind: "declare", how: word, name, type, value, ...placed() };
    }
    if (word === "return") {
      this.#take();
      return { kind: "return", value: this.#is(";") ? undefined : this.#expression(), ...placed() };
    }
    if (word === "break" || word === "continue") {
      this.#take();
      if (word === "break" && this.#accept("if")) return { kind: "break if", test: this.#expression(), ...placed() };
      return { kind: word, ...placed() };
    }
    if (["switch", "discard", "const_assert"].includes(word)) throw unsupported(`"${word}"`, start.line);
    const to = this.#unary();
    const sign = this.#operator();
    if (sign === "++" || sign === "--") {
      this.#take();
      return { kind: "step", to, sign: sign === "++" ? "+" : "-", ...placed() };
    }
    if (/^([-+*/%&|^]|<<)?=$/.test(sign)) {
      this.#take();
      return { kind: "assign", to, sign: sign.slice(0, -1), value: this.#expression(), ...placed() };
    }
    // a call: functions of this subset have no effects
    if (to.kind === "call") return { kind: "ignored", ...placed() };
    throw unsupported(`"${sign || this.#now.text}" after a value`, start.line);
  }
}

/** The module's declarations; bodies of functions are parsed when they are asked for. */
export function parse(source: string): ModuleNode {
  return new Parser(tokenize(source)).module();
}
