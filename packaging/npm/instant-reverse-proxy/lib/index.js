// irp for programs: each tunnel is a process of its own, which prints one JSON object a line.
"use strict";

const { execFile, spawn } = require("node:child_process");
const { createInterface } = require("node:readline");
const { promisify } = require("node:util");
const { MissingProgram, program } = require("./program.js");

/** How long a process may take to end after it was asked to, in ms: requests under way may finish. */
const END_WITHIN = 30_000;

/** Why there is no tunnel, or no more. */
class IrpError extends Error {
  constructor({ message, kind = "internal", causes = [], hints = [], exit_code: exitCode = 1 }) {
    super([message, ...causes.map((cause) => `because: ${cause}`), ...hints.map((hint) => `hint: ${hint}`)].join("\n"));
    this.name = "IrpError";
    Object.assign(this, { kind, causes, hints, exitCode });
  }
}

/** A tunnel that stands. */
class Tunnel {
  #child;
  #closing = false;

  constructor(child, url, upstream, exited) {
    this.#child = child;
    this.url = url;
    this.upstream = upstream;
    this.closed = exited.then((error) => {
      if (error && !this.#closing) throw error;
    });
    // Nobody has to listen to it.
    this.closed.catch(() => {});
  }

  async close() {
    this.#closing = true;
    this.#child.kill("SIGTERM");
    const tooLong = setTimeout(() => this.#child.kill("SIGKILL"), END_WITHIN);
    await this.closed.catch(() => {});
    clearTimeout(tooLong);
  }
}

/** Starts a tunnel; resolves once visitors can come. */
function up(options = {}) {
  const { signal, onEvent } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(program(), words(options), {
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", options.log === true ? "inherit" : "ignore"],
    });
    const end = () => child.kill("SIGTERM");
    // Nothing is left behind by a test that forgot to close.
    process.on("exit", end);
    signal?.addEventListener("abort", end, { once: true });

    let failure;
    const exited = new Promise((tell) => {
      child.on("error", (error) => {
        failure ??= new IrpError({ message: `irp cannot be started: ${error.message}` });
      });
      child.on("close", (code, by) => {
        process.removeListener("exit", end);
        signal?.removeEventListener("abort", end);
        const message = `irp has ended: ${by === null ? `exit code ${code}` : by}`;
        tell(failure ?? (code === 0 ? undefined : new IrpError({ message, exit_code: code ?? undefined })));
      });
    });
    exited.then((error) =>
      reject(signal?.aborted ? signal.reason : (error ?? new IrpError({ message: "irp ended before there was a URL" }))),
    );
    createInterface({ input: child.stdout }).on("line", (line) => {
      let event;
      try {
        event = JSON.parse(line);
      } catch {
        return;
      }
      if (event.event === "error") failure = new IrpError(event);
      if (event.event === "url") resolve(new Tunnel(child, event.url, event.upstream, exited));
      onEvent?.(event);
    });
  });
}

function words({ port, upstream, local = false, name, verify = [], args = [] }) {
  const words = ["up", "--json"];
  if (local) words.push("--local");
  if (name !== undefined) words.push("--name", name);
  for (const provider of [verify].flat()) words.push("--verify", provider);
  words.push(...args);
  const to = upstream ?? port;
  if (to !== undefined) words.push(String(to));
  return words;
}

/** The certificate, PEM, of the authority that signs for `up({ local: true })`. */
async function localAuthority() {
  const { stdout } = await promisify(execFile)(program(), ["ca", "show"]);
  return stdout;
}

module.exports = { IrpError, MissingProgram, localAuthority, up };
