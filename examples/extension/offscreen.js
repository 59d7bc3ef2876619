// The offscreen document, in which the engine lives as long as the extension.
import { serveExtension } from "./webbuild/extension.js";

serveExtension();
