import type { Dual } from "./builtins.ts";
import { arithmetic, dual, type Surroundings } from "./expressions.ts";
import { resolveType, Scope } from "./scope.ts";
import type { Expression, FunctionNode, ModuleNode, Statement } from "./syntax.ts";
import { unsupported } from "./tokens.ts";
import { concrete, isReal, joined, type Type, typeText, zero } from "./types.ts";

/** Name of the variable that holds the derivative of a variable. */
const companion = (name: string) => `pf_d_${name}`;

/** Writes the derivative of one function. */
export class FunctionWriter implements Surroundings {
  readonly module: ModuleNode;
  readonly source: string;
  readonly scope = new Scope();
  readonly derivativeOf: Surroundings["derivativeOf"];
  readonly #result: Type;
  readonly #pair: string;
  #lines: string[] = [];
  #kept = 0;

  constructor(
    { module, source, derivativeOf }: Pick<Surroundings, "module" | "source" | "derivativeOf">,
    result: Type,
    pair: string,
  ) {
    this.module = module;
    this.source = source;
    this.derivativeOf = derivativeOf;
    this.#result = result;
    this.#pair = pair;
  }

  keep(text: string): string {
    const name = `pf_${++this.#kept}`;
    this.#lines.push(`let ${name} = ${text};`);
    return name;
  }

  write(name: string, made: FunctionNode, active: readonly boolean[]): string {
    const parameters = made.parameters.flatMap((parameter, i) => {
      const type = resolveType(this.module, parameter.type, this.source);
      const derivative = active[i] ? companion(parameter.name) : undefined;
      this.scope.declare(parameter.name, { type, derivative });
      const names = derivative ? [parameter.name, derivative] : [parameter.name];
      return names.map((each) => `${each}: ${typeText(type)}`);
    });
    this.#statement(made.body());
    return `fn ${name}(${parameters.join(", ")}) -> ${this.#pair} ${this.#lines.join("\n")}`;
  }

  #text(e: { readonly start: number; readonly end: number }): string {
    return this.source.slice(e.start, e.end);
  }

  #statement(s: Statement): void {
    switch (s.kind) {
      case "ignored":
        return;
      case "break":
      case "continue":
        this.#lines.push(`${s.kind};`);
        return;
      case "break if":
        this.#lines.push(`break if ${this.#text(s.test)};`);
        return;
      case "block":
        this.#block(() => {
          for (const each of s.body) this.#statement(each);
        });
        return;
      case "return":
        this.#return(s.value, s.line);
        return;
      case "declare":
        this.#declare(s);
        return;
      case "assign":
        this.#assign(s.to, s.sign, s.value, s);
        return;
      case "step": {
        // only whole numbers have ++ and --
        this.#lines.push(`${this.#text(s)};`);
        return;
      }
      case "if":
        this.#lines.push(`if (${this.#text(s.test)})`);
        this.#statement(s.then);
        if (!s.otherwise) return;
        this.#lines.push("else");
        if (s.otherwise.kind === "if") this.#block(() => this.#statement(s.otherwise as Statement));
        else this.#statement(s.otherwise);
        return;
      case "while":
        this.#lines.push(`while (${this.#text(s.test)})`);
        this.#statement(s.body);
        return;
      case "loop":
        this.#loop(undefined, s.body, s.continuing);
        return;
      case "for":
        // as a loop, since what it starts and goes on with may take several lines here
        this.#block(() => {
          if (s.first) this.#statement(s.first);
          this.#loop(s.test, s.body, s.next);
        });
        return;
    }
  }

  #block(write: () => void): void {
    this.#lines.push("{");
    this.scope.within(write);
    this.#lines.push("}");
  }

  #loop(test: Expression | undefined, body: Statement, next: Statement | undefined): void {
    this.#lines.push("loop");
    this.#block(() => {
      if (test) this.#lines.push(`if (!(${this.#text(test)})) { break; }`);
      // the continuing block of a loop sees what its body declares; that of a for does not
      if (body.kind === "block" && (!next || next.kind === "block"))
        for (const each of body.body) this.#statement(each);
      else this.#statement(body);
      if (!next) return;
      this.#lines.push("continuing");
      if (next.kind === "block") this.#statement(next);
      else this.#block(() => this.#statement(next));
    });
  }

  #return(value: Expression | undefined, line: number): void {
    if (!value) throw unsupported("a return without a value", line);
    const made = dual(this, value);
    this.#lines.push(`return ${this.#pair}(${made.value}, ${made.derivative ?? zero(this.#result)});`);
  }

  #declare(s: Extract<Statement, { kind: "declare" }>): void {
    const given = s.type && resolveType(this.module, s.type, this.source);
    const made = s.value && dual(this, s.value);
    const type = given ?? (made && (s.how === "const" ? made.type : concrete(made.type)));
    if (!type) throw unsupported(`${s.name} without type and value`, s.line);
    if (!isReal(type) || (s.how !== "var" && !made?.derivative)) {
      this.#lines.push(`${this.#text(s)};`);
      this.scope.declare(s.name, { type });
      return;
    }
    const derivative = companion(s.name);
    // the derivative first: its text may read a variable of the same name further out
    this.#lines.push(`${s.how} ${derivative}: ${typeText(type)} = ${made?.derivative ?? zero(type)};`);
    this.#lines.push(`${s.how} ${s.name}: ${typeText(type)} = ${made?.value ?? `${typeText(type)}()`};`);
    this.scope.declare(s.name, { type, derivative });
  }

  #assign(to: Expression, sign: string, value: Expression, whole: Statement): void {
    if (to.kind === "name" && to.text === "_") return;
    const target = dual(this, to);
    if (!isReal(target.type)) {
      this.#lines.push(`${this.#text(whole)};`);
      return;
    }
    if (!target.derivative) throw unsupported(`an assignment to ${this.#text(to)}`, whole.line);
    const right = dual(this, value);
    let made: Dual = right;
    if (sign) {
      const type = joined(target.type, right.type);
      if (!type) throw unsupported(`"${sign}=" of an array`, whole.line);
      made = arithmetic(this, sign, target, right, type, whole.line);
    }
    // the derivative first: its text may read the variable that changes
    this.#lines.push(`${target.derivative} = ${made.derivative ?? zero(target.type)};`);
    this.#lines.push(`${target.value} = ${made.value};`);
  }
}
