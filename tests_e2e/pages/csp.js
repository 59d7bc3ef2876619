globalThis.webbuild = await import("./webbuild/index.js");
