// The code blocks of the documents, as programs.

/**
 * @typedef {object} Block
 * @property {string} language the first word after the fence
 * @property {string} code
 * @property {number} line of the document
 */

/**
 * The fenced blocks of a document.
 * @param {string} markdown
 * @returns {Block[]}
 */
export function blocksOf(markdown) {
  return [...markdown.matchAll(/^```(\S*)[^\n]*\n(.*?)^```$/gms)].map(({ 1: language = "", 2: code = "", index }) => ({
    language,
    code,
    line: markdown.slice(0, index).split("\n").length + 1,
  }));
}

const importLine = /^import (type )?\{([^}]*)\} from ("[^"]*");\n/gms;

/**
 * The TypeScript blocks of a document one after the other: what one has declared, the next may use. Names that several import are imported once.
 * @param {readonly Block[]} blocks
 */
export function programOf(blocks) {
  /** @type {Map<string, Set<string>>} */
  const imports = new Map();
  const bodies = blocks
    .filter(({ language }) => language === "ts")
    .map(({ code, line }) => {
      const body = code.replace(importLine, (_, isType, names, from) => {
        const known = imports.get(from) ?? new Set();
        imports.set(from, known);
        for (const name of names.split(",").map((part) => part.trim()))
          if (name !== "") known.add(isType ? `type ${name}` : name);
        return "";
      });
      return `// line ${line}\n${body.trim()}\n`;
    });
  if (bodies.length === 0) return "";
  const heads = [...imports].map(([from, names]) => `import { ${[...names].sort().join(", ")} } from ${from};\n`);
  return `${heads.join("")}\n${bodies.join("\n")}export {};\n`;
}

/** What is made small for a test: counts, steps, layers. What a program promises does not depend on them. */
const smaller = [
  [/\b\d{1,3}(?:_\d{3})+\b/g, "200"],
  [/\b(steps|every|patience|logEvery|batchSize|group): (\d+)/g, (_, name, value) => `${name}: ${Math.min(value, 4)}`],
  [/\b(group): \d+/g, "$1: 32"],
  [/\bbatchSize: \d+/g, "batchSize: 32"],
  [/\bstep >= \d+/g, "step >= 2"],
  [/\bhidden: \[[\d, ]+\]/g, (text) => text.replace(/\d+/g, "8")],
  [/(\bcells|\bbins): \[[\d, ]+\]/g, (text) => text.replace(/\d+/g, "6")],
];

/** A program of the documents with small numbers. @param {string} code */
export function small(code) {
  return smaller.reduce((text, [pattern, by]) => text.replace(pattern, by), code);
}
