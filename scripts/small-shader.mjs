import ts from "typescript";

const operators = /[ \n]?([,;:{}()=*<>])[ \n]?/g;

/** WGSL text without comments, indentation, blank lines and the space around signs. */
function smallText(text) {
  return text
    .replace(/\/\/[^\n]*/g, "")
    .replace(/[ \t]*\n\s*/g, "\n")
    .replace(operators, "$1");
}

/** `#if ${c}` … `#else` … `#endif` as `${c ? … : …}`: what the tag wgsl does at run time. */
function conditionals(texts, values) {
  const open = [];
  let result = "";
  for (const [i, text] of texts.entries()) {
    let consumed = false;
    for (const piece of text.split(/(#(?:if|elif|else|endif)\b[ \t]*)/)) {
      const directive = /^#(\w+)/.exec(piece)?.[1];
      if (directive === "if" || directive === "elif") {
        result += `${directive === "if" ? "${" : "`:"}(${values[i]})?\``;
        if (directive === "if") open.push("``");
        consumed = true;
      } else if (directive === "else") {
        open[open.length - 1] = "";
        result += "`:`";
      } else if (directive === "endif") {
        const last = open.pop();
        if (last === undefined) throw new Error("a shader has an #endif without an #if");
        result += `${last === "" ? "`" : "`:``"}}`;
      } else result += piece;
    }
    if (!consumed && i < values.length) result += `\${${values[i]}}`;
  }
  if (open.length > 0) throw new Error("a shader has an #if without an #endif");
  return result;
}

/**
 * A file of shaders for the browser bundle: its WGSL without what WGSL does not need, and its `#if`s as JavaScript, so that
 * the bundle goes without the preprocessor.
 *
 * @param {string} text TypeScript with WGSL in template literals, tagged wgsl or of several lines or statements
 */
export function smallShader(text) {
  const file = ts.createSourceFile("shader.ts", text, ts.ScriptTarget.ES2022, true);
  const print = (node) => {
    if (ts.isTaggedTemplateExpression(node) && node.tag.getText() === "wgsl") return printTemplate(node.template, true);
    if (ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateExpression(node)) return printTemplate(node, false);
    const start = node.getFullStart();
    let at = start;
    let result = "";
    ts.forEachChild(node, (child) => {
      result += text.slice(at, child.getFullStart()) + print(child);
      at = child.getEnd();
    });
    return result + text.slice(at, node.getEnd());
  };
  const printTemplate = (node, tagged) => {
    const spans = ts.isTemplateExpression(node) ? node.templateSpans : [];
    const literals = ts.isTemplateExpression(node) ? [node.head, ...spans.map((span) => span.literal)] : [node];
    const texts = literals.map((literal) => literal.getText().replace(/^[`}]|(?:`|\$\{)$/g, ""));
    const isShader = tagged || texts.some((part) => /[;\n]/.test(part));
    const parts = isShader ? texts.map(smallText) : texts;
    const values = spans.map((span) => print(span.expression));
    return ` \`${tagged ? conditionals(parts, values) : parts.reduce((all, part, i) => `${all}\${${values[i - 1]}}${part}`)}\``;
  };
  return print(file);
}
