// A program that irp starts: it listens a moment late, tells what it was given, and has a child of its own.
"use strict";

const { spawn } = require("node:child_process");
const { writeFileSync } = require("node:fs");
const http = require("node:http");

const [port, mode] = process.argv.slice(2);
const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
console.log("hello from the program");

process.on("SIGTERM", () => {
  writeFileSync("asked-to-end", "");
  if (mode !== "stubborn") process.exit(0);
});

const server = http.createServer((request, response) => {
  if (request.url.startsWith("/exit/")) {
    response.end("bye", () => process.exit(Number(request.url.split("/")[2])));
    return;
  }
  const told = { url: process.env.PUBLIC_URL, pids: [process.pid, child.pid] };
  const answer = () => response.end(JSON.stringify(told));
  if (request.url === "/slow") {
    writeFileSync("is-slow", "");
    setTimeout(answer, 1000);
  } else {
    answer();
  }
});
setTimeout(() => server.listen(Number(port), "127.0.0.1"), 300);
