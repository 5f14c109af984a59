/** A file or a folder that cannot be used, told by the path that the user gave; `code` is the system's, as "ENOSPC". */
export class FileError extends Error {
  override name = "FileError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whoever read stdout has closed it, as `| head` does when it has enough: no fault, and no more is wanted. */
export class ReaderGone extends Error {
  override name = "ReaderGone";
}

const inWords: Record<string, (path: string) => string> = {
  ENOENT: (path) => `no such file or folder: ${path}`,
  EACCES: (path) => `not allowed to use ${path}: see its permissions and those of its folder`,
  EPERM: (path) => `not allowed to use ${path}: the system forbids it`,
  EISDIR: (path) => `${path} is a folder, but a file is expected`,
  ENOTDIR: (path) => `${path}: a part of this path is a file, but folders lead to a file`,
  EROFS: (path) => `${path} is on a file system that can only be read`,
  ENOSPC: (path) => `the disk of ${path} is full: make room, or write elsewhere`,
  EDQUOT: (path) => `your share of the disk of ${path} is used up: make room, or write elsewhere`,
  EFBIG: (path) => `${path} becomes larger than its file system, or \`ulimit -f\`, allows`,
  ENAMETOOLONG: (path) => `${shortened(path)} is a longer name than the file system takes`,
  ELOOP: (path) => `${path} is a link that leads back to itself`,
  EMFILE: (path) => `${path} cannot be opened, since this program has too many files open: see \`ulimit -n\``,
  ENFILE: (path) => `${path} cannot be opened, since the system has too many files open`,
  ENOMEM: (path) => `${path} does not fit into memory`,
  ERR_FS_FILE_TOO_LARGE: (path) => `${path} does not fit into memory: it is larger than 2 GiB`,
  ERR_STRING_TOO_LONG: (path) => `${path} does not fit into memory`,
  ERR_INVALID_ARG_VALUE: () => "a path has a character of code 0 in it, which no file's name may have",
  EIO: (path) => `${path} cannot be used: its disk or device reports a fault (EIO)`,
  EPIPE: (path) => `whoever read ${path} has closed it`,
  ECONNRESET: (path) => `whoever read ${path} has closed it`,
  EBUSY: (path) => `${path} is in use by another program or by the system`,
  ETXTBSY: (path) => `${path} is a program that runs`,
  ENXIO: (path) => `nobody is at the other end of ${path}`,
  ESTALE: (path) => `${path} is on a network disk that has forgotten it`,
};

/** What `error`, thrown by the file system, says in words; errors that are no faults of a file come back as they are. */
export function fileError(error: unknown, path: string): unknown {
  if (error instanceof FileError || !(error instanceof Error) || !("code" in error)) return error;
  const { code } = error;
  if (typeof code !== "string") return error;
  const words = inWords[code];
  if (words) return new FileError(code, words(shown(path)), { cause: error });
  // Texts of the system are not for users, its code helps those who look it up.
  return /^E[A-Z0-9]+$/.test(code)
    ? new FileError(code, `${shown(path)} cannot be used: the system says ${code}`, { cause: error })
    : error;
}

/** Runs a step of work on `path`; what the file system throws comes out in words. */
export async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, path);
  }
}

/** The code of a fault of the file system, else undefined. */
export function faultOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** A path as a message shows it: on one line, without what would steer a terminal, and never empty. */
export function shown(path: string): string {
  const clean = path.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
  return clean === "" ? '""' : clean;
}

function shortened(path: string): string {
  const letters = Array.from(path);
  return letters.length <= 80 ? path : `${letters.slice(0, 60).join("")}… (${letters.length} letters)`;
}
