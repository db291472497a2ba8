// The use that package.json's README shows, with its types.
import { IrpError, localAuthority, up, type IrpEvent, type Tunnel, type UpOptions } from "instant-reverse-proxy";

// Only what is used here, so that the types of Node are not needed.
declare const process: { argv: string[] };
declare const console: { log(text: string): void };
const { createServer } = (await import("node:http" as string)) as any;
const { get } = (await import("node:https" as string)) as any;

const server = createServer((_: unknown, answer: { end(text: string): void }) => answer.end("from the test"));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

const events: IrpEvent[] = [];
const options: UpOptions = {
  port: server.address().port,
  local: true,
  args: ["--port", process.argv[2] ?? ""],
  onEvent: (event) => events.push(event),
};
const tunnel: Tunnel = await up(options);
// Not every resolver knows names below localhost.
const url = new URL(tunnel.url);
const ca = await localAuthority();
const answer = await new Promise<string>((resolve, reject) => {
  get(`https://localhost:${url.port}/`, { ca, agent: false }, (response: any) => {
    let text = "";
    response.on("data", (piece: unknown) => (text += piece));
    response.on("end", () => resolve(text));
  }).on("error", reject);
});
await tunnel.close();
await tunnel.closed;
server.close();

const failure = await up({ local: true, args: ["--hold", "soon"] }).then(
  () => "none",
  (error: unknown) => (error instanceof IrpError ? `${error.kind} ${error.exitCode}` : "another"),
);
console.log(JSON.stringify({ answer, events: events.some((event) => event.event === "url"), failure }));
