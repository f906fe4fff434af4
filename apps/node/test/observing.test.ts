import { silentMetrics } from "@revoada/fabric";
import { describe, expect, onTestFinished, test } from "vitest";
import { startAdminServer } from "../src/daemon/admin-server.ts";
import { createLogger } from "../src/daemon/logger.ts";
import { createMetrics } from "../src/daemon/metrics.ts";
import { captureIo } from "./helpers.ts";

describe("metrics", () => {
  test("are a page that Prometheus reads, sorted by name", () => {
    const metrics = createMetrics();
    metrics.gauge("revoada_b", 2.5, { zone: 'a"b\\c\nd' });
    metrics.count("revoada_a_total", 1, { to: "dead" });
    metrics.count("revoada_a_total", 2, { to: "dead" });
    metrics.count("revoada_a_total");
    expect(metrics.render()).toBe(
      [
        "# TYPE revoada_a_total counter",
        'revoada_a_total{to="dead"} 3',
        "revoada_a_total 1",
        "# TYPE revoada_b gauge",
        String.raw`revoada_b{zone="a\"b\\c\nd"} 2.5`,
        "",
      ].join("\n"),
    );
  });

  test("count observations into buckets that add up", () => {
    const metrics = createMetrics();
    for (const value of [0.1, 3, 3, 99_999]) metrics.observe("revoada_flush_ms", value);
    const page = metrics.render();
    expect(page).toContain('revoada_flush_ms_bucket{le="0.25"} 1\n');
    expect(page).toContain('revoada_flush_ms_bucket{le="5"} 3\n');
    expect(page).toContain('revoada_flush_ms_bucket{le="10000"} 3\n');
    expect(page).toContain('revoada_flush_ms_bucket{le="+Inf"} 4\n');
    expect(page).toContain("revoada_flush_ms_sum 100005.1\nrevoada_flush_ms_count 4\n");
  });

  test("drop names that are none, values that are none, and series without end", () => {
    const metrics = createMetrics();
    metrics.count("no name");
    metrics.count("revoada_x_total", -1);
    metrics.gauge("revoada_x_total", 5);
    metrics.observe("revoada_y_ms", Number.NaN);
    for (let peer = 0; peer < 1500; peer += 1) metrics.count("revoada_z_total", 1, { peer: String(peer) });
    const page = metrics.render();
    expect(page).not.toContain("no name");
    expect(page).not.toContain("revoada_x_total ");
    expect(page).toContain("revoada_metrics_dropped_series 500\n");
  });

  test("ask their sources at each scrape", () => {
    const metrics = createMetrics();
    let level = 0;
    metrics.collect((page) => page.gauge("revoada_level", (level += 1)));
    metrics.render();
    expect(metrics.render()).toContain("revoada_level 2\n");
    expect(Object.keys(silentMetrics).every((name) => name in metrics)).toBe(true);
  });
});

describe("the admin server", () => {
  test("serves metrics and health and nothing else", async () => {
    let ok = true;
    const server = await startAdminServer({
      address: "127.0.0.1:0",
      renderMetrics: () => "revoada_x 1\n",
      health: () => ({ ok, facts: { condition: ok ? "healthy" : "no-quorum" } }),
    });
    onTestFinished(() => server[Symbol.asyncDispose]());
    const ask = async (path: string, method = "GET"): Promise<readonly [number, string]> => {
      const response = await fetch(`http://${server.address}${path}`, { method });
      return [response.status, await response.text()];
    };
    expect(await ask("/metrics")).toEqual([200, "revoada_x 1\n"]);
    expect(await ask("/healthz")).toEqual([200, '{"ok":true,"condition":"healthy"}\n']);
    ok = false;
    expect(await ask("/healthz?verbose")).toEqual([503, '{"ok":false,"condition":"no-quorum"}\n']);
    expect(await ask("/healthz", "HEAD")).toEqual([503, ""]);
    expect((await ask("/metrics", "POST"))[0]).toBe(405);
    expect((await ask("/"))[0]).toBe(404);
  });

  test("on a port that is in use says so by code", async () => {
    const options = { renderMetrics: () => "", health: () => ({ ok: true, facts: {} }) };
    const first = await startAdminServer({ ...options, address: "127.0.0.1:0" });
    onTestFinished(() => first[Symbol.asyncDispose]());
    await expect(startAdminServer({ ...options, address: first.address })).rejects.toMatchObject({
      code: "NODE_ADMIN_UNAVAILABLE",
      message: `cannot listen on ${first.address} for administration: the address is in use`,
    });
  });
});

describe("logs", () => {
  test("are JSON lines with level, time, message and fields, from the level that was asked for", () => {
    const io = captureIo();
    const logger = createLogger(io, "info", { node: "a" }).child({ layer: "raft" });
    logger.debug("not this");
    logger.info("elected", { term: 3 });
    const [line, ...rest] = io.err().trimEnd().split("\n");
    expect(rest).toEqual([]);
    expect(JSON.parse(line ?? "")).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      node: "a",
      layer: "raft",
      term: 3,
      msg: "elected",
    });
  });

  test("say more or less once that is asked for, those of children too", () => {
    const io = captureIo();
    const logger = createLogger(io, "info");
    const child = logger.child({ layer: "raft" }).child({ group: 1 });
    logger.setLevel("debug");
    child.debug("one");
    logger.setLevel("silent");
    child.error("two");
    logger.setLevel("error");
    child.warn("three");
    child.error("four");
    const said = io
      .err()
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { readonly msg: string }).msg);
    expect(said).toEqual(["one", "four"]);
  });

  test("never show a secret", () => {
    const io = captureIo();
    createLogger(io, "info").info("x", { token: "rvd1abc", peer: { seed: "s3cret" } });
    expect(io.err()).not.toMatch(/rvd1abc|s3cret/);
  });

  test("are one readable line each on a terminal, whatever the fields hold", () => {
    const io = captureIo({ isTerminal: true, environment: { NO_COLOR: "1" } });
    createLogger(io, "info").warn("peer is odd", { name: "a\nb\u001B[2J", list: [1] });
    expect(io.err()).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}peer is odd name=a b \[2J list=\[1\]\n$/);
  });
});
