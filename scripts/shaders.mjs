// npm run shaders: lists the shaders of the catalogue; with a name, prints that one as WebGPU gets it.
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../", import.meta.url));
const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ["shaders/catalog.ts"],
  bundle: true,
  format: "esm",
  write: false,
  logLevel: "error",
});
const { catalog } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`
);
const wanted = process.argv.slice(2).join(" ");
if (wanted === "") {
  for (const { name } of catalog) console.log(name);
} else {
  const entry = catalog.find(({ name }) => name === wanted);
  if (entry) console.log(entry.kernel().code);
  else {
    const near = catalog.filter(({ name }) => wanted.split(/\s+/).every((word) => name.includes(word)));
    console.error(
      `there is no shader "${wanted}"${near.length > 0 ? `: did you mean\n  ${near.map(({ name }) => name).join("\n  ")}` : ": npm run shaders lists them"}`,
    );
    process.exitCode = 2;
  }
}
