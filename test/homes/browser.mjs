import puppeteer from "puppeteer-core";
import { chromeExecutable } from "../../scripts/adapter.mjs";

const flags = [
  // Chrome's sandbox needs privileges that containers do not give; the pages are our own.
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--disable-dev-shm-usage",
];

/**
 * Starts headless Chrome: the one PUPPETEER_EXECUTABLE_PATH names, on its own choice of adapter, else the one from npm on SwiftShader.
 * @returns {Promise<import("puppeteer-core").Browser>}
 */
export async function startChrome() {
  const own = process.env.PUPPETEER_EXECUTABLE_PATH;
  const { path, env } = own ? { path: own, env: {} } : await chromeExecutable();
  return puppeteer.launch({
    executablePath: path,
    env: { ...process.env, ...env },
    headless: own ? true : "shell",
    args: own ? flags : [...flags, "--use-webgpu-adapter=swiftshader"],
    protocolTimeout: 0,
    timeout: 60_000,
  });
}
