import { InvalidArgumentError } from "commander";
import { PushforwardError } from "../src/errors.ts";
import type { Check } from "../src/options/schema.ts";

/**
 * Reads the value of an option by the check that the library has for its own, so that both take the same. What it throws says what was
 * expected; commander puts the option and the text before it.
 */
export function judged<V>(check: Check<V>): (text: string) => V {
  return (text) => {
    const value = text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    try {
      return check("it", value);
    } catch (error) {
      if (!(error instanceof PushforwardError)) throw error;
      throw new InvalidArgumentError(`${error.message.replace(/^it is .*?, but it is /, "expected ")}.`);
    }
  };
}

/** Reads numbers with commas between, a fixed number of them where `count` is given. */
export function numberList(example: string, count?: number): (text: string) => number[] {
  return (text) => {
    const values = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
    if (values.every(Number.isFinite) && (count === undefined || values.length === count)) return values;
    throw new InvalidArgumentError(
      `expected ${count === undefined ? "numbers" : `${count} numbers`} with commas between, as in ${example}.`,
    );
  };
}
