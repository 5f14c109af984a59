import { checks } from "./checks.mjs";
import { createProject } from "./project.mjs";

/**
 * Tests the packed tarball as a stranger's project would use it.
 * @returns {Promise<import("../homes/run-suite.mjs").HomeResult>}
 */
export async function runPackageTests() {
  const start = performance.now();
  /** @type {import("../homes/run-suite.mjs").HomeResult} */
  const result = { label: "package", adapter: "", passed: 0, failed: [], seconds: 0, times: [] };
  const attempt = async (name, work) => {
    const before = performance.now();
    try {
      const value = await work();
      result.passed++;
      return value;
    } catch (error) {
      result.failed.push({ name, failures: [{ message: error.message }] });
      console.log(`✗ package > ${name}\n    ${error.message.replaceAll("\n", "\n    ")}`);
    } finally {
      result.times.push({ name, seconds: (performance.now() - before) / 1000 });
    }
  };
  const project = await attempt("npm packs the checkout and installs the tarball without a network", createProject);
  try {
    if (project) for (const { name, run } of checks) await attempt(name, () => run(project));
  } finally {
    await project?.dispose();
  }
  result.seconds = (performance.now() - start) / 1000;
  return result;
}
