import puppeteer from "puppeteer-core";
import { chromeExecutable } from "../../scripts/adapter.mjs";
import { root } from "./locations.mjs";

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

/** Without a GPU, Chrome presents what WebGPU draws on a canvas only when all else is drawn by SwiftShader, too; else the device is lost. */
export const drawingFlags = [
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--ignore-gpu-blocklist",
  "--use-vulkan=swiftshader",
  "--enable-features=Vulkan",
  "--disable-vulkan-surface",
];

/**
 * Starts headless Chrome. The one from npm computes on the SwiftShader beside it; an installed one, or the one that
 * PUPPETEER_EXECUTABLE_PATH names, on the adapter of its choice.
 * @param {string[]} [moreFlags]
 * @returns {Promise<import("puppeteer-core").Browser>}
 */
export async function startChrome(moreFlags = []) {
  const { path, env } = await chromeExecutable();
  const isFromNpm = path.startsWith(root);
  const args = [...flags, ...moreFlags];
  return puppeteer.launch({
    executablePath: path,
    env: { ...process.env, ...env },
    headless: isFromNpm ? "shell" : true,
    args: isFromNpm ? [...args, "--use-webgpu-adapter=swiftshader"] : args,
    protocolTimeout: 0,
    timeout: 60_000,
  });
}

/**
 * Closes Chrome; a GPU process that hangs must not hold the tests.
 * @param {import("puppeteer-core").Browser} browser
 */
export async function endBrowser(browser) {
  const process = browser.process();
  const timer = setTimeout(() => process?.kill("SIGKILL"), 10_000);
  await browser.close().catch(() => process?.kill("SIGKILL"));
  clearTimeout(timer);
}
