// The extension's service worker: it only makes the offscreen document, and may sleep afterwards.
import { keepOffscreen } from "./webbuild/extension.js";

keepOffscreen("offscreen.html");
