// A service worker that you have already may do the same.
import "webbuild/service-worker.js";
