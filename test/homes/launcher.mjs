// Runs one bundled program in Node or Deno: launcher.mjs <bundle url> <arguments as JSON> <mark>.
// What the program emits goes to standard output as lines that begin with the mark; other lines are its own output.
import process from "node:process";

const [bundle, json, mark] = process.argv.slice(2);
const program = await import(bundle);
await program.main(JSON.parse(json), (value) => process.stdout.write(`\n${mark}${JSON.stringify(value)}\n`));
process.stdout.write(`\n${mark}"done"\n`, () => process.exit(0));
