import { userStore } from "./cache-folder.ts";
import type { TextStore } from "./store.ts";

export { countTurns, patiently, provideGpu } from "./navigator.ts";
export { waitingSpins } from "./waiting.ts";

/** See waiting.ts. */
export const waitingBlocks = true;

/** The part of Deno that is used here. */
declare const Deno: {
  readonly build: { readonly os: string };
  readonly env: { get(name: string): string | undefined };
  readonly permissions: { querySync(permission: { name: string; variable?: string }): { state: string } };
  unrefTimer(timer: number): void;
};

/** Asks nobody: without the permissions that the cache folder needs, there is no store. */
export function defaultStore(): TextStore | undefined {
  const granted = (name: string, variable?: string) =>
    Deno.permissions.querySync({ name, ...(variable && { variable }) }).state === "granted";
  if (!["read", "write", "sys"].every((name) => granted(name))) return undefined;
  const names = ["XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE"];
  if (!names.every((name) => granted("env", name))) return undefined;
  const environment = Object.fromEntries(names.map((name) => [name, Deno.env.get(name)]));
  return userStore({ platform: Deno.build.os === "windows" ? "win32" : Deno.build.os, environment });
}

/** Resolves after a while; a program that has nothing else to do ends meanwhile. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    // Deno's timers are numbers, whatever the types of Node say.
    Deno.unrefTimer(setTimeout(resolve, milliseconds) as unknown as number);
  });
}

/** A lost device may be collected. */
export const keepLost = (_device: GPUDevice): void => undefined;
