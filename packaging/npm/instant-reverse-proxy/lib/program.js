// Where the program for this platform is. npm installs one package of `optionalDependencies`, the one whose `os`, `cpu`
// and `libc` are this machine's; nothing is downloaded afterwards.
"use strict";

const { version, optionalDependencies } = require("../package.json");

/** There is no program for this platform, or its package is not installed. */
class MissingProgram extends Error {
  constructor(message) {
    super(message);
    this.name = "MissingProgram";
  }
}

/** The path of the program; throws `MissingProgram`, with what to do. */
function program() {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@instant-reverse-proxy/${platform}`;
  if (!Object.hasOwn(optionalDependencies, name)) {
    throw new MissingProgram(
      `error: irp has no program for ${platform}\n` +
        `  because: it is built for ${platforms().join(", ")}\n` +
        "     hint: build it: https://github.com/instant-reverse-proxy/irp",
    );
  }
  try {
    return require.resolve(`${name}/bin/irp${process.platform === "win32" ? ".exe" : ""}`);
  } catch {
    if (isMusl()) {
      throw new MissingProgram(
        "error: irp has no program for a Linux with musl, such as Alpine\n" +
          "  because: it is built for glibc\n" +
          "     hint: take an image with glibc, such as node:lts-slim",
      );
    }
    throw new MissingProgram(
      `error: the package ${name} is missing\n` +
        "  because: it holds irp's program for this platform, and npm did not install it: it was told to omit\n" +
        "           optional packages, or node_modules came from another platform\n" +
        `     hint: npm install --include=optional ${name}@${version}\n` +
        "     hint: or remove node_modules and package-lock.json, then: npm install",
    );
  }
}

function platforms() {
  return Object.keys(optionalDependencies).map((name) => name.slice(name.indexOf("/") + 1));
}

function isMusl() {
  return process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;
}

module.exports = { MissingProgram, program };
