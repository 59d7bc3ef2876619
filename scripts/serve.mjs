// Starts `webbuild serve` and tells when and where it listens.

import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * @param {string} folder what to serve
 * @param {{ port?: number, relay?: boolean }} [options] port 0 (the default) takes any free one
 * @returns {Promise<{ url: string, close: () => Promise<void>, exited: Promise<unknown> }>}
 *   `url` ends in a slash
 */
export async function serve(folder, { port = 0, relay = false } = {}) {
  const options = ["--port", String(port), ...(relay ? ["--relay"] : [])];
  const server = spawn("webbuild", ["serve", folder, ...options], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PYTHONUNBUFFERED: "1", NO_COLOR: "1" },
  });
  const exited = once(server, "close").catch(() => {});
  let said = "";
  const url = await new Promise((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        said += text;
        const found = /https?:\/\/[\w.:[\]-]+\//.exec(said);
        if (found) resolve(found[0]);
      });
    }
    server.once("error", (error) =>
      reject(new Error(`webbuild serve did not start (run \`make setup\`): ${error.message}`)),
    );
    server.once("close", (code) =>
      reject(new Error(`webbuild serve ended with exit status ${code}:\n${said}`)),
    );
  });
  return {
    url,
    exited,
    async close() {
      server.kill("SIGINT");
      await exited;
    },
  };
}
