/** Vite's development server (before version 8) moves this module into a cache of its own, but serves packages where they are. */
export function asInstalled({ href }: URL): string {
  return href.replace(/\/node_modules\/\.vite\/deps(_[^/]*)?\/(?=[^/]*$)/, "/node_modules/pushforward/dist/");
}

/** A page's worker that runs a module, which may come from another origin. */
export function startScript(script: string | URL): Worker {
  const url = new URL(script, location.href);
  if (/^https?:$/.test(url.protocol) && url.origin !== location.origin) return fromElsewhere(url);
  return new Worker(url, { type: "module" });
}

/** A worker's script has the origin of its page: one of a CDN is imported by a script that has. */
function fromElsewhere(url: URL): Worker {
  const text = `import ${JSON.stringify(url.href)};`;
  const own = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = new Worker(own, { type: "module" });
  worker.addEventListener("message", () => URL.revokeObjectURL(own), { once: true });
  return worker;
}
