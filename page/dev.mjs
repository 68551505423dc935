// The page while it is worked on: rebuilt at each load; all other requests go to a running pinflow.
//
//     node dev.mjs http://127.0.0.1:7461 [GRAPH.json]      then open http://127.0.0.1:7400
import { createServer, request } from "node:http";
import { mkdir, readFile } from "node:fs/promises";
import { build } from "esbuild";
import { copies, options } from "./build.mjs";

/** Not built/: what is checked in is made by `npm run build` alone. */
const OUT = new URL("../target/page-dev/", import.meta.url);
const port = Number(process.env.PORT ?? 7400);
const [pinflow = "http://127.0.0.1:7461", graph] = process.argv.slice(2);
const KINDS = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css", svg: "image/svg+xml", woff2: "font/woff2", txt: "text/plain" };
const POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

async function file(name, response) {
  if (name === "index.html") await Promise.all([build({ ...options, outdir: OUT.pathname, minify: false }), copies(OUT)]);
  const bytes = await readFile(new URL(name, OUT));
  response.writeHead(200, { "content-type": KINDS[name.split(".").at(-1)], "content-security-policy": POLICY, "cache-control": "no-store" });
  response.end(bytes);
}

/** Passes a request on, and the reply back as it comes. */
function pass(from, to) {
  const at = new URL(from.url, pinflow);
  const { host, origin, ...headers } = from.headers;
  // pinflow refuses changes from pages of another origin, and this server's port is another origin.
  const own = origin === undefined ? { host: at.host } : { host: at.host, origin: at.origin };
  const onward = request(at, { method: from.method, headers: { ...headers, ...own } }, (reply) => {
    to.writeHead(reply.statusCode, reply.headers);
    reply.pipe(to);
  });
  onward.on("error", () => to.destroy());
  to.on("close", () => onward.destroy());
  from.pipe(onward);
}

await mkdir(OUT, { recursive: true });
createServer((from, to) => {
  const { pathname } = new URL(from.url, "http://localhost");
  const own = pathname === "/" ? "index.html" : pathname.match(/^\/assets\/([a-z-]+\.[a-z0-9]+)$/)?.[1];
  if (own) file(own, to).catch((error) => to.writeHead(500).end(String(error)));
  else if (graph && pathname === "/graph") readFile(graph).then((bytes) => to.writeHead(200, { "content-type": "application/json" }).end(bytes));
  else pass(from, to);
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
