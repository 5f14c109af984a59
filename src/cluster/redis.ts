import type { Redis } from "ioredis";
import { invalid, PushforwardError } from "../errors.ts";
import { show } from "../options.ts";
import { keysOf, prefix } from "./protocol.ts";

type BullMq = typeof import("bullmq");

/** A connection to Redis with the packages that use it. BullMQ duplicates it where it needs one of its own. */
export interface Link {
  readonly redis: Redis;
  readonly bullmq: BullMq;
  /** The address without a password, for messages. */
  readonly place: string;
  readonly queue: string;
  readonly keys: ReturnType<typeof keysOf>;
  /** Called whenever a connection that was lost is there again. */
  readonly onReturn: Set<() => void>;
  /** Rejects when the connection is given up; never resolves. */
  readonly ended: Promise<never>;
  close(): void;
}

/** A first connection that is not there by then is refused. */
const secondsToConnect = 8;

async function packages(): Promise<{ bullmq: BullMq; ioredis: typeof import("ioredis") }> {
  try {
    const [bullmq, ioredis] = await Promise.all([import("bullmq"), import("ioredis")]);
    return { bullmq, ioredis };
  } catch (cause) {
    throw new PushforwardError(
      "unsupported",
      "pushforward/cluster needs the optional packages `bullmq` and `ioredis`, of which one cannot be loaded: run `npm install bullmq@6 ioredis@5`",
      { cause },
    );
  }
}

function parseUrl(what: string, url: unknown): URL {
  const parsed = typeof url === "string" && URL.canParse(url) ? new URL(url) : undefined;
  if (parsed && /^rediss?:$/.test(parsed.protocol)) return parsed;
  throw invalid(`${what}: url is ${show(url)}, but it is the address of a Redis, as in "redis://localhost:6379"`);
}

/**
 * Connects, or throws `connection` within seconds. A connection that is lost later is tried again for `patience` seconds,
 * and `onNotice` hears of it.
 */
export async function connect(
  what: string,
  options: { url: string; queue: string | undefined; patience: number; onNotice: (text: string) => void },
): Promise<Link> {
  const parsed = parseUrl(what, options.url);
  const queue = options.queue ?? prefix;
  if (typeof queue !== "string" || !/^[\w.-]+$/.test(queue))
    throw invalid(
      `${what}: queue is ${show(queue)}, but it is a name of letters, digits, dots, dashes and underscores`,
    );
  const place = `${parsed.protocol}//${parsed.host}${parsed.pathname === "/" ? "" : parsed.pathname}`;
  const { bullmq, ioredis } = await packages();
  const onReturn = new Set<() => void>();
  let isOpen = false;
  let isClosing = false;
  let downSince: number | undefined;
  let lastError: Error | undefined;
  const redis = new ioredis.Redis(options.url, {
    lazyConnect: true,
    // what BullMQ asks for: commands wait for the connection instead of failing
    maxRetriesPerRequest: null,
    connectTimeout: 1000 * secondsToConnect,
    retryStrategy: (times) => {
      // BullMQ's duplicates of the connection ask here, too
      if (!isOpen || isClosing) return null;
      downSince ??= performance.now();
      return performance.now() - downSince > 1000 * options.patience ? null : Math.min(100 * 2 ** times, 2000);
    },
  });
  redis.on("error", (error: Error) => {
    if (isOpen && !isClosing && error.message !== lastError?.message)
      options.onNotice(`the connection to Redis at ${place} failed (${reason(error)}); trying again`);
    lastError = error;
  });
  redis.on("ready", () => {
    const isBack = downSince !== undefined;
    downSince = undefined;
    lastError = undefined;
    if (!isBack) return;
    options.onNotice(`connected to Redis at ${place} again`);
    for (const told of onReturn) told();
  });
  const timer = setTimeout(() => redis.disconnect(), 1000 * secondsToConnect);
  try {
    await redis.connect();
  } catch (cause) {
    const why = reason(lastError ?? (cause as Error));
    throw new PushforwardError(
      "connection",
      `${what}: there is no Redis to be used at ${place} (${why}): start one (\`redis-server\`), or correct the address`,
      { cause },
    );
  } finally {
    clearTimeout(timer);
  }
  isOpen = true;
  const ended = new Promise<never>((_, reject) => {
    redis.on("end", () => {
      if (isClosing) return;
      const why = lastError ? ` (${reason(lastError)})` : "";
      reject(
        new PushforwardError(
          "connection",
          `the connection to Redis at ${place} was lost${why} and did not come back within ${options.patience} s: see whether it runs, then call again`,
        ),
      );
    });
  });
  ended.catch(() => undefined);
  const close = () => {
    isClosing = true;
    redis.disconnect();
  };
  return { redis, bullmq, place, queue, keys: keysOf(queue), onReturn, ended, close };
}

/** An error of the network in words; Node gives several addresses' errors as one without a message. */
function reason(error: Error): string {
  const code = "code" in error ? String(error.code) : "";
  if (code === "ECONNREFUSED") return "connection refused";
  if (code === "ENOTFOUND") return "no such host";
  return error.message || code || error.name;
}

/** Whether an error is one of the connection, which the link tells by itself. */
export function isOfConnection(error: Error): boolean {
  return "code" in error || /connection is closed|connect ETIMEDOUT|stream isn't writeable/i.test(error.message);
}

/** Seconds that a Redis gets to let go of somebody who leaves. */
const secondsToLeave = 5;

/** Ends what uses the link, in order where Redis answers, at once where it does not. */
export async function leave(link: Link, steps: () => Promise<unknown>): Promise<void> {
  const isReady = link.redis.status === "ready";
  // commands that wait for a connection would wait for ever
  if (!isReady) link.close();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, isReady ? 1000 * secondsToLeave : 500);
  });
  try {
    await Promise.race([steps().catch(() => undefined), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Keys of BullMQ's queue that hold jobs. */
const lists = ["wait", "active", "paused", "delayed", "prioritized", "completed", "failed", "waiting-children"];
/** Its book-keeping, worth nothing without jobs. */
const books = ["meta", "events", "id", "marker", "stalled", "stalled-check", "pc", "limiter"];

const tidyScript = `
for i = 1, tonumber(ARGV[1]) do
  if redis.call("EXISTS", KEYS[i]) == 1 then return 0 end
end
return redis.call("DEL", unpack(KEYS, tonumber(ARGV[1]) + 1))`;

/** Deletes the queue's book-keeping if it has no jobs and nobody is connected to it. */
export async function tidy({ redis, bullmq, queue, keys }: Link): Promise<void> {
  const view = new bullmq.Queue(queue, { connection: redis, prefix, skipMetasUpdate: true });
  view.on("error", () => undefined);
  try {
    // the server may notice a moment late that one's own other connections have gone
    for (let tries = 4; tries > 0; tries--) {
      const [callers, workers] = await Promise.all([view.getQueueEvents(), view.getWorkers()]);
      if (callers.length + workers.length === 0) break;
      if (tries === 1) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const jobs = lists.map(keys.ofQueue);
    await redis.eval(tidyScript, lists.length + books.length, ...jobs, ...books.map(keys.ofQueue), jobs.length);
  } finally {
    await view.close();
  }
}
