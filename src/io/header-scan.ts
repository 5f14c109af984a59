/** Nesting that a header may have: the outer object, a tensor's record and its lists need 3; the rest is room for extensions. */
const deepest = 8;

/** What is wrong with a JSON text although `JSON.parse` would accept it (or spend gigabytes on it), or undefined. */
export function findHeaderFault(text: string): string | undefined {
  // One entry per open bracket: the keys seen so far in an object, undefined in a list.
  const open: (Set<string> | undefined)[] = [];
  let atKey = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        const end = endOfString(text, i);
        const keys = open[open.length - 1];
        if (atKey && keys) {
          const key = readKey(text.slice(i, end + 1));
          if (key === "__proto__") return 'the key "__proto__" is not allowed';
          if (keys.has(key)) return `the key "${key.slice(0, 60)}" appears twice`;
          keys.add(key);
        }
        atKey = false;
        i = end;
        break;
      }
      case 0x7b:
      case 0x5b:
        if (open.length === deepest) return `it is nested deeper than ${deepest} levels`;
        atKey = text.charCodeAt(i) === 0x7b;
        open.push(atKey ? new Set() : undefined);
        break;
      case 0x7d:
      case 0x5d:
        open.pop();
        atKey = false;
        break;
      case 0x2c:
        atKey = open[open.length - 1] !== undefined;
        break;
    }
  }
  return undefined;
}

/** The index of the quote that closes the string opened at `start`; the text's length where none does. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5c) i++;
    else if (c === 0x22) return i;
  }
  return text.length;
}

/** "a" and its escaped spellings are one key, so keys are compared as `JSON.parse` would read them. */
function readKey(literal: string): string {
  if (!literal.includes("\\")) return literal.slice(1, -1);
  try {
    return String(JSON.parse(literal));
  } catch {
    return literal; // Not a JSON string: the parse of the whole header says so.
  }
}
