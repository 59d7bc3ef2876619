// A page's own service worker, in which an engine runs too.
import "./webbuild/shared_worker.js";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
