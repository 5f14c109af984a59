import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".webp": "image/webp",
  ".json": "application/json",
  ".map": "application/json",
};

/** Pages of another origin may use the files, as those of a CDN. */
const shared = { "access-control-allow-origin": "*" };

/**
 * Serves folders on the loopback interface: pages there are a secure context, which WebGPU needs.
 * @param {Record<string, string>} folders by the first part of the path, for example { dist: "…/dist" }
 * @param {Record<string, string>} pages HTML by path, for example { "/": "<!doctype html>…" }
 * @returns {Promise<{ origin: string, close: () => Promise<void> }>}
 */
export async function serve(folders, pages) {
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://loopback").pathname);
    const page = pages[path];
    const [, first = "", ...rest] = path.split("/");
    const folder = folders[first];
    const file = folder === undefined ? "" : normalize(join(folder, ...rest));
    try {
      if (page === undefined && !(folder !== undefined && file.startsWith(folder + sep))) throw new Error("not served");
      const body = page ?? (await readFile(file));
      const type = page === undefined ? types[extname(file)] : types[".html"];
      response.writeHead(200, {
        "content-type": type ?? "application/octet-stream",
        "cache-control": "no-store",
        ...shared,
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the loopback server has no port");
  return {
    origin: `http://127.0.0.1:${address.port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
