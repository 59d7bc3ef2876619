// A service worker with the script that is meant for shared ones.
import "./webbuild/shared_worker.js";

addEventListener("install", () => skipWaiting());
