import { PushforwardError } from "../errors.ts";

/** A word of WGSL and where it stands in the source. */
export interface Token {
  readonly kind: "name" | "number" | "sign" | "end";
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

/** What the derivative generator does not know, with its line in the user's code. */
export function unsupported(what: string, line: number): PushforwardError {
  return new PushforwardError(
    "unsupported",
    `wgslVelocity: line ${line} of the code has ${what}, of which no derivative is generated: ` +
      "write it otherwise, or add fn divergence(t: f32, x: array<f32, DIM>) -> f32 (log p needs only that)",
  );
}

// ">" stays single, because it may close a template; the parser joins ">>" and ">=".
const pattern =
  /(\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|([A-Za-z_]\w*)|(0[xX][0-9a-fA-F]+[iu]?|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[iufh]?)|(->|\+\+|--|&&|\|\||<<=|<<|<=|==|!=|[-+*/%&|^]=|[-+*/%&|^<>=!~.,;:()[\]{}@])/y;

export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  pattern.lastIndex = 0;
  while (pattern.lastIndex < source.length) {
    const start = pattern.lastIndex;
    const match = pattern.exec(source);
    if (!match) throw unsupported(`the character ${JSON.stringify(source[start])}`, line);
    const [text, blank, name, number] = match;
    const end = start + text.length;
    if (blank === undefined) tokens.push({ kind: name ? "name" : number ? "number" : "sign", text, start, end, line });
    else line += blank.split("\n").length - 1;
  }
  tokens.push({ kind: "end", text: "the end", start: source.length, end: source.length, line });
  return tokens;
}
