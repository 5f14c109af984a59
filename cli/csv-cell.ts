/** A decimal number as CSV files hold it; Number() alone would take "", " " and "0x10" too. */
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** Words that stand for a value that is not there. */
const missing = /^(|na|n\/a|#n\/a|nan|[-+]nan|null|none|nil|nd|n\.a\.|missing|undefined|\?|\.|-+|—|–|\*|\\n)$/i;

export function isDecimal(cell: string): boolean {
  return decimal.test(cell);
}

export function isMissing(cell: string | undefined): boolean {
  return cell === undefined || missing.test(cell);
}

/** The number in a cell, in f64; NaN for what is none that can be used. */
export function numberIn(cell: string | undefined): number {
  if (cell === undefined || !decimal.test(cell)) return Number.NaN;
  const value = Number(cell);
  // devices compute in f32, and no column of data needs more than its range
  return Number.isFinite(Math.fround(value)) ? value : Number.NaN;
}

/** What mends such cells in the whole file: a filter, a word of advice. */
type Remedy = { readonly filter?: string; readonly advice: string };

export interface CellFault {
  /** "a date", "text". */
  readonly kind: string;
  readonly remedy?: Remedy;
}

/** Signs beyond ASCII that look like others, or like nothing. */
const lookAlikes: readonly [sign: RegExp, name: string, plain: string][] = [
  [/\u2212/, "the minus sign U+2212", "-"],
  [/[\u2010-\u2014\ufe63\uff0d]/, "a dash instead of a minus sign", "-"],
  [/[\u00a0\u2007\u202f]/, "a non-breaking space", ""],
  [/[\u2002-\u2006\u2008-\u200a]/, "a thin space", ""],
  [/[\u200b-\u200f\u2060\ufeff]/, "an invisible sign", ""],
  [/\u066b/, "the decimal separator U+066B", "."],
  [/['\u2019\u02bc]/, "an apostrophe between its digits", ""],
];

const isDate =
  /^\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?([T ].*)?$|^\d{1,2}[-/.]\d{1,2}[-/.](\d{2}|\d{4})([T ].*)?$|^\d{1,2}[- .](jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[- .]\d{2,4}|^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2}, \d{4}/i;

/** What a cell is that is no number, and what to do about a column of such cells. */
export function faultIn(cell: string | undefined): CellFault {
  if (cell === undefined || isMissing(cell)) return { kind: "missing" };
  if (decimal.test(cell)) return { kind: "a number beyond the range of f32 (about ±3.4e38)" };
  if (/^[+-]?(inf|infinity|∞)$/i.test(cell)) return { kind: "infinite" };
  if (/^(true|false|yes|no|t|f|y|n|on|off|ja|nein|oui|non|vrai|faux|wahr|falsch|sí|si|verdadero|falso)$/i.test(cell))
    return { kind: "a truth value", remedy: { advice: "write 1 and 0 for truth values" } };
  if (isDate.test(cell))
    return { kind: "a date", remedy: { advice: "make numbers of dates, such as days since the first of them" } };
  if (/^\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[ap]m)?$/i.test(cell))
    return { kind: "a time of day", remedy: { advice: "make numbers of times, such as seconds since midnight" } };
  if (/^[+-]?0x[0-9a-f]+$/i.test(cell))
    return { kind: "a hexadecimal number", remedy: { advice: "write hexadecimal numbers as decimal ones" } };
  const look = lookAlike(cell);
  if (look) return look;
  if (/^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(cell) && !/^[+-]?(\d{1,3},\d{3}|0,\d+)$/.test(cell))
    return {
      kind: "a number with thousands separators",
      remedy: { advice: "write numbers without thousands separators" },
    };
  if (/^[+-]?\d{1,3}([. ]\d{3})*,\d*([eE][+-]?\d+)?$/.test(cell) || /^[+-]?\d*,\d+([eE][+-]?\d+)?$/.test(cell))
    return /^[+-]?[1-9]\d{0,2},\d{3}$/.test(cell)
      ? {
          kind: "a number with a comma (decimal comma or thousands separator)",
          remedy: {
            advice: "write points where the commas are decimal ones, and nothing where they are between thousands",
          },
        }
      : {
          kind: "a number with a decimal comma",
          remedy: /[. ]/.test(cell)
            ? { advice: "write a decimal point, and nothing between thousands" }
            : { filter: "tr , .", advice: "write decimal points instead of commas" },
        };
  if (/^[+-]?\d{1,3}( \d{3})+(\.\d*)?$/.test(cell))
    return { kind: "a number with blanks in it", remedy: { advice: "write numbers without thousands separators" } };
  if (/^[+-]?[\d.,]+\s*[%‰]$/.test(cell))
    return { kind: "a percentage", remedy: { advice: "write percentages without their sign" } };
  if (/^[+-]?\s*[\p{Sc}]\s*[+-]?[\d.,]+$/u.test(cell) || /^[+-]?[\d.,]+\s*[\p{Sc}]$/u.test(cell))
    return {
      kind: "a sum of money",
      remedy: {
        advice: cell.includes(",")
          ? "write sums of money as plain numbers, without a currency's sign and thousands separators"
          : "write sums of money without a currency's sign",
      },
    };
  if (/^\([\d.,]+\)$/.test(cell))
    return { kind: "a number in brackets", remedy: { advice: "write negative numbers with a minus sign" } };
  if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*\p{L}+/u.test(cell))
    return { kind: "a number with letters behind it", remedy: { advice: "write numbers without their unit" } };
  if (/^[\p{Nd}.+\u066b-]+$/u.test(cell) && !/^[\d.+-]+$/.test(cell))
    return { kind: "a number in digits other than 0 to 9", remedy: { advice: "write the digits 0 to 9" } };
  return { kind: "text" };
}

function lookAlike(cell: string): CellFault | undefined {
  let plain = cell;
  const names: string[] = [];
  const filters: string[] = [];
  for (const [sign, name, instead] of lookAlikes) {
    const found = sign.exec(plain)?.[0];
    if (found === undefined) continue;
    const code = found.charCodeAt(0).toString(16).padStart(4, "0");
    names.push(name.includes("U+") || code === "0027" ? name : `${name} (U+${code.toUpperCase()})`);
    // by its code, because it may be invisible on the way from a terminal and back
    filters.push(code === "0027" ? `tr -d \\'` : `sed $'s/\\u${code}/${instead}/g'`);
    plain = plain.replace(new RegExp(sign, "g"), instead);
  }
  // Only where nothing else is wrong: a name such as Jean-Luc's is text.
  if (names.length === 0 || !/^[+-]?[\d.,]+([eE][+-]?\d+)?$/.test(plain)) return undefined;
  const filter = filters.join(" | ");
  return {
    kind: `a number with ${names.join(" and ")}`,
    remedy: { filter, advice: "write such numbers in plain ASCII" },
  };
}
