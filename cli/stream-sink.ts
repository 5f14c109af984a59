import { constants, open as openDescriptor } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Context } from "./context.ts";
import { FileError, faultOf, fileError, onFile, ReaderGone, shown } from "./file-errors.ts";
import type { Sink } from "./files.ts";
import type { Target } from "./targets.ts";

/** A pipe, a device or stdout: what was written is gone, there is nothing to name, to keep or to remove. */
export async function openStream(context: Context, { kind, path }: Target): Promise<Sink> {
  if (kind === "device") return deviceSink(path);
  if (kind === "pipe") return pipeSink(context, path);
  return {
    write: (bytes) => send(context, context.stdout, "stdout", bytes),
    finish: async () => {},
    discard: async () => {},
    keep: async () => undefined,
  };
}

/** Waits until `bytes` are taken, which is when more may come; Ctrl-C ends the wait for a reader that does not read. */
async function send(
  { signal }: Context,
  stream: NodeJS.WritableStream,
  path: string,
  bytes: string | Uint8Array,
): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    stream.write(bytes, (error) => {
      signal.removeEventListener("abort", stop);
      if (error) reject(streamFault(error, path));
      else resolve();
    });
  });
}

/** What a stream's error says in words; one that has been closed says so only once, later writes name Node's own codes. */
export function streamFault(error: Error, path: string): unknown {
  const code = faultOf(error) ?? "";
  const isClosed = ["EPIPE", "ECONNRESET", "ERR_STREAM_DESTROYED", "ERR_STREAM_WRITE_AFTER_END"].includes(code);
  if (isClosed && path === "stdout") return new ReaderGone("whoever read stdout has closed it", { cause: error });
  return fileError(isClosed ? Object.assign(new Error(), { code: "EPIPE" }) : error, path);
}

/** A named pipe. Opening one waits for its reader, as a shell does, but Ctrl-C is heard meanwhile. */
async function pipeSink(context: Context, path: string): Promise<Sink> {
  const socket = new Socket({ fd: await openPipe(context, path), readable: false, writable: true });
  // Each write tells of its own fault.
  socket.on("error", () => {});
  return {
    write: (bytes) => send(context, socket, path, bytes),
    finish: () =>
      new Promise((resolve, reject) => {
        socket.once("error", (error) => reject(streamFault(error, path)));
        socket.end(() => resolve());
      }),
    discard: async () => void socket.destroy(),
    keep: async () => void socket.destroy(),
  };
}

async function openPipe({ signal, stderr }: Context, path: string): Promise<number> {
  const flags = constants.O_WRONLY | (constants.O_NONBLOCK ?? 0);
  for (let isTold = false; ; isTold = true) {
    signal.throwIfAborted();
    try {
      return await promisify(openDescriptor)(path, flags);
    } catch (error) {
      if (faultOf(error) !== "ENXIO") throw fileError(error, path);
    }
    if (!isTold) stderr.write(`${shown(path)} is a pipe: waiting for a program that reads it\n`);
    await delay(50, undefined, { signal }).catch(() => {});
  }
}

async function deviceSink(path: string): Promise<Sink> {
  const handle = await onFile(path, () => open(path, constants.O_WRONLY | (constants.O_NOCTTY ?? 0)));
  const close = () => handle.close().catch(() => {});
  return {
    write: (bytes) => onFile(path, () => writeOn(handle, typeof bytes === "string" ? Buffer.from(bytes) : bytes)),
    finish: close,
    discard: close,
    keep: close as () => Promise<undefined>,
  };
}

async function writeOn(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done);
    if (bytesWritten === 0) throw new FileError("EIO", "the device takes no more bytes");
    done += bytesWritten;
  }
}
