// A page's own service worker, in which an engine runs too.
import "./webbuild/service_worker_engine.js";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
