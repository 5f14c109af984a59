import type { Readable } from "node:stream";
import type { Context } from "./context.ts";
import type { CsvOptions } from "./csv.ts";

/** How a command reads its tables, as the command line says it. */
export interface TableOptions {
  delimiter: string;
  header?: boolean;
  skipInvalid: boolean;
}

/** What `readCsv` and `readCsvChunks` take for a file of a command, or stdin where its name is -. */
export function tableInput(
  { stdin, signal }: Context,
  path: string,
  { delimiter, header, skipInvalid }: TableOptions,
  more: CsvOptions & { readonly reader: string },
): [source: string | Readable, options: CsvOptions] {
  return [path === "-" ? (stdin as Readable) : path, { delimiter, header, skipInvalid, signal, ...more }];
}
