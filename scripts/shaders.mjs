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
const { catalog, drawings } = await import(
  `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`
);
const all = [
  ...catalog.map(({ name, kernel }) => ({ name, text: kernel })),
  ...drawings.map(({ name, drawing }) => ({ name, text: drawing })),
];
const wanted = process.argv.slice(2).join(" ");
if (wanted === "") {
  for (const { name } of all) console.log(name);
} else {
  const entry = all.find(({ name }) => name === wanted);
  if (entry) console.log(entry.text().code);
  else {
    const near = all.filter(({ name }) => wanted.split(/\s+/).every((word) => name.includes(word)));
    console.error(
      `there is no shader "${wanted}"${near.length > 0 ? `: did you mean\n  ${near.map(({ name }) => name).join("\n  ")}` : ": npm run shaders lists them"}`,
    );
    process.exitCode = 2;
  }
}
