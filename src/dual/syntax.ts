/** A type as it is written. */
export interface TypeNode {
  readonly name: string;
  readonly args: readonly (TypeNode | Expression)[];
  readonly line: number;
}

interface Placed {
  /** Where the text stands in the source. */
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

export type Expression = Placed &
  (
    | { readonly kind: "number"; readonly text: string }
    | { readonly kind: "name"; readonly text: string }
    | { readonly kind: "unary"; readonly sign: string; readonly of: Expression }
    | { readonly kind: "binary"; readonly sign: string; readonly left: Expression; readonly right: Expression }
    | { readonly kind: "index"; readonly of: Expression; readonly at: Expression }
    | { readonly kind: "member"; readonly of: Expression; readonly name: string }
    | { readonly kind: "call"; readonly type: TypeNode; readonly args: readonly Expression[] }
    | { readonly kind: "group"; readonly of: Expression }
  );

export type Statement = Placed &
  (
    | {
        readonly kind: "declare";
        readonly how: "let" | "var" | "const";
        readonly name: string;
        readonly type?: TypeNode | undefined;
        readonly value?: Expression | undefined;
      }
    | { readonly kind: "assign"; readonly to: Expression; readonly sign: string; readonly value: Expression }
    | { readonly kind: "step"; readonly to: Expression; readonly sign: "+" | "-" }
    | {
        readonly kind: "if";
        readonly test: Expression;
        readonly then: Statement;
        readonly otherwise?: Statement | undefined;
      }
    | { readonly kind: "while"; readonly test: Expression; readonly body: Statement }
    | {
        readonly kind: "for";
        readonly first?: Statement | undefined;
        readonly test?: Expression | undefined;
        readonly next?: Statement | undefined;
        readonly body: Statement;
      }
    | { readonly kind: "loop"; readonly body: Statement; readonly continuing?: Statement | undefined }
    | { readonly kind: "block"; readonly body: readonly Statement[] }
    | { readonly kind: "return"; readonly value?: Expression | undefined }
    | { readonly kind: "break" | "continue" | "ignored" }
    | { readonly kind: "break if"; readonly test: Expression }
  );

export interface Parameter {
  readonly name: string;
  readonly type: TypeNode;
}

export interface FunctionNode {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly result?: TypeNode | undefined;
  readonly line: number;
  /** Parsed when it is asked for: what nobody differentiates may hold anything. */
  body(): Statement;
}

export interface ModuleNode {
  readonly functions: ReadonlyMap<string, FunctionNode>;
  readonly constants: ReadonlyMap<
    string,
    { readonly type?: TypeNode | undefined; readonly value?: Expression | undefined }
  >;
  readonly aliases: ReadonlyMap<string, TypeNode>;
  /** Names at module scope that no derivative can be made of, with what they are. */
  readonly others: ReadonlyMap<string, string>;
}
