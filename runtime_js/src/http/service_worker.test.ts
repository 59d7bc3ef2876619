/** The service worker's script beside what else a site's own worker may get. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";

const listeners = new Map<string, (event: unknown) => void>();
const claim = vi.fn(async () => {});

beforeAll(async () => {
  vi.stubGlobal("location", { href: "https://example.org/sw.js" });
  vi.stubGlobal("clients", { claim });
  vi.stubGlobal("registration", { scope: "https://example.org/" });
  vi.stubGlobal("addEventListener", (type: string, listener: (event: unknown) => void) =>
    listeners.set(type, listener),
  );
  await import("./service_worker.js");
});

afterAll(() => vi.unstubAllGlobals());

test("messages of the site that it is part of are left alone", () => {
  const waitUntil = vi.fn();
  for (const data of [null, undefined, "skipWaiting", { webbuild: "awake" }])
    listeners.get("message")?.({ data, waitUntil });
  expect(waitUntil).not.toHaveBeenCalled();
  listeners.get("message")?.({ data: { webbuild: "claim" }, waitUntil });
  expect(claim).toHaveBeenCalledOnce();
});

test("requests outside of its path are left to the network", () => {
  const respondWith = vi.fn();
  for (const url of ["https://example.org/v2/x", "https://other.org/v1/models"])
    listeners.get("fetch")?.({ request: { url }, respondWith });
  expect(respondWith).not.toHaveBeenCalled();
});
