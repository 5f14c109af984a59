import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, type Option } from "commander";
import { hint } from "../src/options.ts";
import { UsageError } from "./context.ts";
import { columnWord } from "./csv-shape.ts";
import { fileError, shown } from "./file-errors.ts";

/** Options that a file of --config does not hold. */
const outside = ["--config", "--print-config", "--help"];

const nameOf = (option: Option) => (option.long ?? "").slice(2);

function known(command: Command): Option[] {
  return command.options.filter((option) => !option.negate && !outside.includes(option.long ?? ""));
}

/**
 * Takes options from a JSON file: their names without the dashes, and values as they would be typed, or as JSON has them: numbers, true
 * and false, lists. What the command line says goes before, wherever it stands.
 *
 * @throws UsageError for what is no JSON object, names of no option, and values that an option cannot have.
 */
export function readConfig(path: string, command: Command): void {
  const config = parsed(path);
  const options = known(command);
  for (const [name, value] of Object.entries(config)) {
    const option = options.find((each) => nameOf(each) === name);
    if (!option) {
      throw new UsageError(
        `--config ${shown(path)} has "${shown(name)}", which is no option of ${command.name()}${hint(name, options.map(nameOf), `: pushforward ${command.name()} --help lists them`)}`,
      );
    }
    const attribute = option.attributeName();
    const read = readValue(path, option, value);
    if (command.getOptionValueSource(attribute) !== "cli") command.setOptionValueWithSource(attribute, read, "config");
  }
}

function parsed(path: string): object {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fileError(error, path);
  }
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch {
    throw new UsageError(`--config ${shown(path)} is no JSON: expected an object such as {"steps": 20000}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UsageError(`--config ${shown(path)} holds no JSON object: expected one such as {"steps": 20000}`);
  return value;
}

/** The value as the option's own reader gives it. */
function readValue(path: string, option: Option, value: unknown): unknown {
  const name = nameOf(option);
  const isSwitch = !option.required && !option.optional;
  if (isSwitch) {
    if (typeof value === "boolean") return value;
    throw new UsageError(`--config ${shown(path)}: "${name}" is ${told(value)}, but it is true or false`);
  }
  const isList = Array.isArray(value) && value.length > 0 && value.every(isPlain);
  if (!isPlain(value) && !isList)
    throw new UsageError(
      `--config ${shown(path)}: "${name}" is ${told(value)}, but it is a number, a text or a list of these`,
    );
  // a name of a list may have a comma of its own
  const text = isList ? value.map((part) => columnWord(String(part))).join(",") : String(value);
  try {
    return option.parseArg ? option.parseArg(text, undefined) : text;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`--config ${shown(path)}: "${name}" is ${told(value)}: ${error.message}`);
  }
}

const isPlain = (part: unknown) => typeof part === "string" || typeof part === "number";

function told(value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return shown(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** All options as a file that {@link readConfig} takes: those that have a value. */
export function configText(command: Command, typed: (value: unknown) => string): string {
  const entries = known(command).flatMap((option) => {
    const value: unknown = command.getOptionValue(option.attributeName());
    if (value === undefined || ["output", "json"].includes(nameOf(option))) return [];
    const isList = Array.isArray(value) && value.every(isPlain);
    return [[nameOf(option), typeof value === "object" && !isList ? typed(value) : value]];
  });
  return `${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`;
}
