#!/usr/bin/env node
// Runs the program of this platform in its own place: same terminal, same arguments, same exit code.
"use strict";

const { spawn } = require("node:child_process");
const { MissingProgram, program } = require("../lib/program.js");

let path;
try {
  path = program();
} catch (error) {
  if (!(error instanceof MissingProgram)) throw error;
  console.error(error.message);
  process.exit(1);
}

const child = spawn(path, process.argv.slice(2), { stdio: "inherit" });

// On a terminal, Ctrl-C and the terminal's end reach the program from there too. Passed on as well, they would count as
// the second Ctrl-C, which quits at once.
const onTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
const listeners = new Map();
for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"]) {
  const listener = () => {
    if (signal === "SIGTERM" || !onTerminal) child.kill(signal);
  };
  listeners.set(signal, listener);
  process.on(signal, listener);
}

child.on("error", (error) => {
  console.error(`error: cannot start ${path}\n  because: ${error.message}`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  if (signal === null) {
    process.exitCode = code;
    return;
  }
  // Whoever started this sees the same end.
  for (const [name, listener] of listeners) process.removeListener(name, listener);
  process.kill(process.pid, signal);
});
