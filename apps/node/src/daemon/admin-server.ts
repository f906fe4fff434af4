import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AdminListenError } from "../errors.ts";

/** What a node says of its own health. */
export interface HealthFacts {
  readonly ok: boolean;
  readonly facts: Readonly<Record<string, unknown>>;
}

export interface AdminServerOptions {
  /** `host:port`; port 0 for any. */
  readonly address: string;
  readonly renderMetrics: () => string;
  /** What `/healthz` answers: 200 where it is well, else 503, with these facts. */
  readonly health: () => HealthFacts;
}

/** The HTTP server of those who watch over the node: `/metrics` and `/healthz`, nothing that changes anything. */
export interface AdminServer extends AsyncDisposable {
  /** `host:port`, with the real port. */
  readonly address: string;
}

const maxConnections = 64;
const requestTimeoutMs = 5_000;

/** Starts the server. Rejects with `NODE_ADMIN_UNAVAILABLE`. */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const server = createServer({
    requestTimeout: requestTimeoutMs,
    headersTimeout: requestTimeoutMs,
    maxHeaderSize: 8192,
  });
  server.maxConnections = maxConnections;
  server.on("request", (request, response) => answer(options, request, response));
  await listen(server, options.address);
  const { address, port } = server.address() as AddressInfo;
  return {
    address: address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, address: string): Promise<void> {
  const separator = address.lastIndexOf(":");
  const host = address.slice(0, separator).replace(/^\[(.*)\]$/, "$1");
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new AdminListenError(address, error)));
    server.listen({ host, port: Number(address.slice(separator + 1)) }, () => resolve());
  });
}

function answer(options: AdminServerOptions, request: IncomingMessage, response: ServerResponse): void {
  // A body is nobody's business here.
  request.resume();
  if (request.method !== "GET" && request.method !== "HEAD") {
    reply(response, 405, "text/plain; charset=utf-8", "only GET is answered\n", { allow: "GET, HEAD" });
    return;
  }
  const path = (request.url ?? "").split("?")[0];
  if (path === "/metrics") {
    reply(response, 200, "text/plain; version=0.0.4; charset=utf-8", options.renderMetrics());
  } else if (path === "/healthz") {
    const { ok, facts } = options.health();
    reply(response, ok ? 200 : 503, "application/json", `${JSON.stringify({ ok, ...facts })}\n`);
  } else {
    reply(response, 404, "text/plain; charset=utf-8", "there are /metrics and /healthz\n");
  }
}

function reply(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    ...headers,
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
