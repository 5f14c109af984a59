/** All codes of errors. "connection": machines that work together lost each other, see `pushforward/cluster`. */
export const errorCodes = [
  "invalid-argument",
  "no-adapter",
  "device-lost",
  "out-of-memory",
  "shader",
  "format",
  "unsupported",
  "connection",
] as const;

/** What went wrong, as a word a program can switch on. */
export type PushforwardErrorCode = (typeof errorCodes)[number];

/**
 * The one error class of the library. The message says what was got, what was expected and what to do.
 *
 * @example
 * import { PushforwardError } from "pushforward";
 * const error = new PushforwardError("format", "the file is 3 bytes long, …");
 * console.log(error.code); // "format"
 */
export class PushforwardError extends Error {
  readonly code: PushforwardErrorCode;

  constructor(code: PushforwardErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PushforwardError";
    this.code = code;
  }
}

/** Shorthand for the most frequent error: a value the caller passed. */
export function invalid(message: string, options?: ErrorOptions): PushforwardError {
  return new PushforwardError("invalid-argument", message, options);
}
