import { PushforwardError } from "../src/errors.ts";
import { item } from "../src/must.ts";

/** How a command may be given the text of a file that it cannot read as it is. */
export interface Place {
  /** The file as it was named, or "the CSV" for a stream. */
  readonly name: string;
  /** The file for a shell, in quotes where it needs them. */
  readonly file: string;
  /** The command that reads it from a pipe, as in "pushforward train -". */
  readonly reader: string;
}

/** Where a CSV comes from, in words for its errors. */
export function placeOf(source: unknown, reader = "pushforward … -"): Place {
  if (typeof source !== "string") return { name: "the CSV", file: "data.csv", reader };
  return { name: source, file: shellWord(source), reader };
}

/** How a cell reads in a message. */
export function shown(cell: string): string {
  const short = cell.length > 40 ? `${cell.slice(0, 40)}…` : cell;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not reach a terminal
  return cell === "" ? "nothing" : `"${short.replace(/[\u0000-\u001f\u007f-\u009f]/g, "·")}"`;
}

/** A word that a POSIX shell takes as it is. */
export function shellWord(text: string): string {
  return /^[\w./,:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const zip = "is a workbook of Excel or another zip archive";

/** Kinds of files by their first bytes (after `skip` bytes, as Latin-1), and the command that makes text of them, where there is one. */
const kinds: readonly { what: string; magic: readonly string[]; skip?: number; unpack?: string }[] = [
  { what: "is compressed by gzip", magic: ["\x1f\x8b"], unpack: "zcat" },
  { what: "is compressed by zstd", magic: ["\x28\xb5\x2f\xfd"], unpack: "zstdcat" },
  { what: "is compressed by bzip2", magic: ["BZh"], unpack: "bzcat" },
  { what: "is compressed by xz", magic: ["\xfd7zXZ\0"], unpack: "xzcat" },
  { what: "is a 7z archive", magic: ["7z\xbc\xaf\x27\x1c"], unpack: "7z x -so" },
  { what: zip, magic: ["PK\x03\x04", "PK\x05\x06"], unpack: "unzip -p" },
  { what: "is a workbook of old Excel", magic: ["\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"] },
  { what: "is a Parquet file", magic: ["PAR1"] },
  { what: "is an Arrow (Feather) file", magic: ["ARROW1", "FEA1"] },
  { what: "is an Avro file", magic: ["Obj\x01"] },
  { what: "is an ORC file", magic: ["ORC"] },
  { what: "is an array of NumPy", magic: ["\x93NUMPY"] },
  { what: "is a pickle of Python", magic: ["\x80\x03", "\x80\x04", "\x80\x05"] },
  { what: "is an HDF5 file", magic: ["\x89HDF\r\n"] },
  { what: "is an SQLite database", magic: ["SQLite format 3\0"] },
  { what: "is a PDF document", magic: ["%PDF-"] },
  { what: "is a picture", magic: ["\x89PNG", "\xff\xd8\xff", "GIF8"] },
  { what: "is a safetensors file, such as a flow", magic: ['\0\0\0\0{"'], skip: 4 },
];

/** How a table of another kind becomes a CSV. */
const save = "save it as CSV (in a spreadsheet by “Save as”, with pandas by df.to_csv(…, index=False))";

/** Throws `format` when the first bytes are those of another kind of file, with what to do. */
function checkKind(first: Uint8Array, { name, file, reader }: Place): void {
  const bytes = Buffer.from(first.subarray(0, 64)).toString("latin1");
  if (bytes.startsWith("\xff\xfe") || bytes.startsWith("\xfe\xff")) throw wide(name, file, reader);
  const found = kinds.find(({ magic, skip = 0 }) => magic.some((start) => bytes.startsWith(start, skip)));
  const text = bytes.replace(/^\xef\xbb\xbf/, "");
  if (found && !(found.unpack === undefined && isPlain(bytes))) {
    const way = found.unpack && `unpack it (${found.unpack} ${file} | ${reader} …)`;
    const advice = found.what === zip ? `${save}, or ${way}` : (way ?? save);
    throw new PushforwardError("format", `${name} ${found.what}, but a CSV is expected: ${advice}`);
  }
  if (/^\s*(\{\s*"|\[\s*[[{])/.test(text))
    throw new PushforwardError("format", `${name} is JSON, but a CSV is expected: ${save}`);
  if (/^\s*<(!doctype|html|\?xml)/i.test(text))
    throw new PushforwardError(
      "format",
      `${name} is an HTML or XML page, as a download that failed leaves it, but a CSV is expected: fetch the table itself`,
    );
}

/** Whether the beginning is a line of names that only looks like a kind of file, as ORC,x,y does. */
function isPlain(bytes: string): boolean {
  const line = item(bytes.split(/\r?\n/), 0);
  return /^[\x20-\x7e\t]*[,;|\t][\x20-\x7e\t]*$/.test(line) && line.length < bytes.length;
}

function wide(name: string, file: string, reader: string): PushforwardError {
  return new PushforwardError(
    "format",
    `${name} is text in UTF-16, but UTF-8 is expected: convert it (iconv -f UTF-16 -t UTF-8 ${file} | ${reader} …)`,
  );
}

/** The text of a stream of bytes; throws `format` for what is no text in UTF-8, by its kind where that can be told. */
export async function* textOf(bytes: AsyncIterable<Uint8Array | string>, place: Place): AsyncGenerator<string> {
  const { name, file, reader } = place;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const head: Uint8Array[] = [];
  let held = 0;
  let isChecked = false;
  let lines = 1;
  const decode = (chunk: Uint8Array): string => {
    const zero = chunk.indexOf(0);
    if (zero >= 0) {
      // every second byte of Latin letters and digits is 0 in UTF-16
      const around = chunk.subarray(Math.max(0, zero - 64), zero + 64);
      if (around.filter((byte) => byte === 0).length > around.length / 3) throw wide(name, file, reader);
      throw new PushforwardError(
        "format",
        `${name} is no text: line ${lines + newlines(chunk.subarray(0, zero))} holds a byte of value 0, but a CSV is expected: ${save}`,
      );
    }
    try {
      const text = decoder.decode(chunk, { stream: true });
      lines += newlines(chunk);
      return text;
    } catch {
      const line = lines + wrongLine(chunk);
      throw new PushforwardError(
        "format",
        `line ${line} of ${name} has a byte that is no UTF-8: convert it (iconv -f WINDOWS-1252 -t UTF-8 ${file} | ${reader} …)`,
      );
    }
  };
  for await (const piece of bytes) {
    const chunk = typeof piece === "string" ? Buffer.from(piece) : piece;
    if (isChecked) {
      yield decode(chunk);
      continue;
    }
    head.push(chunk);
    held += chunk.length;
    if (held < 64) continue;
    const all = Buffer.concat(head);
    checkKind(all, place);
    isChecked = true;
    yield decode(all);
  }
  if (!isChecked) {
    const all = Buffer.concat(head);
    checkKind(all, place);
    yield decode(all);
  }
  const cut = tail(decoder);
  if (cut === undefined)
    throw new PushforwardError("format", `the last line of ${name} ends within a character: was the file cut off?`);
  if (cut !== "") yield cut;
}

function tail(decoder: TextDecoder): string | undefined {
  try {
    return decoder.decode();
  } catch {
    return undefined;
  }
}

function newlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}

/** Lines before the first that does not decode. */
function wrongLine(bytes: Uint8Array): number {
  let line = 0;
  for (let from = 0; from < bytes.length; line++) {
    const end = bytes.indexOf(10, from);
    const to = end < 0 ? bytes.length : end + 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(from, to));
    } catch {
      return line;
    }
    from = to;
  }
  return Math.max(0, line - 1);
}
