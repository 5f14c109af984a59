import { item } from "../../src/must.ts";

/** Texts of an axis' ticks, and what they are to be read with: "×10⁻⁶", "+5,400,000"; "" where they are the values themselves. */
interface TickLabels {
  readonly texts: readonly string[];
  readonly note: string;
}

/** Digits beyond which ticks leave out what they have in common. */
const mostDigits = 6;

/**
 * Labels of ticks in steps of 1, 2 or 5 times a power of ten, with as many decimals as the step needs. Ticks that are large
 * beside their step share an offset, and very small or very large ones a power of ten, as in "×10⁻⁶ + 5,400,000":
 * value = label · 10⁻⁶ + 5,400,000.
 */
export function tickLabels(values: readonly number[]): TickLabels {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const step = (high - low) / Math.max(1, values.length - 1);
  const offset = step > 0 ? sharedOffset(low, high, step) : 0;
  const rests = values.map((value) => value - offset);
  const size = Math.max(...rests.map(Math.abs));
  const power = powerOf(size);
  const factor = power < -3 || power > 5 ? power : 0;
  const decimals = step > 0 ? -powerOf(step) : oneDecimals(size);
  const shownDecimals = Math.min(20, Math.max(0, decimals + factor));
  // what is left of rounding errors is no −0
  const zero = step * 1e-3;
  const texts = rests.map((rest) => decimalText(Math.abs(rest) <= zero ? 0 : scaled(rest, -factor), shownDecimals));
  const times = factor === 0 ? "" : `×10${superscript(factor)}`;
  if (offset === 0) return { texts, note: times };
  const [sign, plus] = [offset < 0 ? "−" : "+", numberText(Math.abs(offset))];
  return { texts, note: times === "" ? sign + plus : `${times} ${sign} ${plus}` };
}

/** The number between the ticks that leaves the shortest labels; 0 where nothing is gained. */
function sharedOffset(low: number, high: number, step: number): number {
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (powerOf(largest) - powerOf(step) < mostDigits) return 0;
  const power = powerOf(high - low) + 1;
  const units = Math.round(scaled((low + high) / 2, -power));
  // of a power of ten below 1 only the quotient is exact
  return scaled(units, power);
}

/** Exponent of a number's first decimal digit; ticks that are a rounding error below a power of ten count as that power. */
function powerOf(value: number): number {
  return value === 0 ? 0 : Math.floor(Math.log10(value) + 1e-3);
}

/** value · 10ᵖ without the error of a power below 1, which f64 does not hold. */
function scaled(value: number, power: number): number {
  // twice, since 10³⁰⁸ is the last
  if (power < -300) return scaled(value / 1e300, power + 300);
  if (power > 300) return scaled(value * 1e300, power - 300);
  return power < 0 ? value / 10 ** -power : value * 10 ** power;
}

/** Decimals of a lone tick: those that it has. */
function oneDecimals(size: number): number {
  if (size === 0) return 0;
  const digits = size
    .toExponential(11)
    .replace(/e.*/, "")
    .replace(/\.?0+$/, "")
    .replace(".", "").length;
  return digits - 1 - powerOf(size);
}

/** "−12,345.50": a minus sign instead of a hyphen, commas from five digits on, so that years have none. */
function decimalText(value: number, decimals: number): string {
  const text = Math.abs(value).toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
    useGrouping: Math.abs(value) >= 1e4,
  });
  return value < 0 ? `−${text}` : text;
}

/** A number in up to 15 digits: "5,400,000.2", "2×10⁻⁷". */
export function numberText(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const exact = Number(value.toPrecision(15));
  if (size >= 1e-3 && size < 1e12)
    return decimalText(exact, Math.max(0, Math.min(20, (String(exact).split(".")[1] ?? "").length)));
  const parts = exact.toExponential().split("e");
  const [mantissa, power] = [item(parts, 0).replace("-", "−"), item(parts, 1)];
  return `${mantissa === "1" ? "" : `${mantissa}×`}10${superscript(Number(power))}`;
}

/** "⁻¹²" */
export function superscript(power: number): string {
  const digits = Array.from(String(Math.abs(power)), (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]).join("");
  return `${power < 0 ? "⁻" : ""}${digits}`;
}
