// A service worker that knows no engine.
addEventListener("install", () => skipWaiting());
