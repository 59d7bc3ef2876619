// A browser without Playwright, which keeps every page awake and visible: tabs here are hidden when another is in front.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { launchOptions } from "./browser.mjs";

/** @typedef {{ send: (method: string, params?: object) => Promise<any>, evaluate: (code: string) => Promise<any> }} Tab */

/**
 * Starts a headless browser with a fresh profile, spoken to over a pipe.
 * @param {import("./browser.mjs").Adapter} adapter
 */
export async function launchPlain(adapter) {
  const { executablePath, args, env } = launchOptions(adapter);
  const profile = await mkdtemp(join(tmpdir(), "webbuild-profile-"));
  const flags = ["--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`];
  const child = spawn(executablePath, [...args, ...flags, "about:blank"], {
    env,
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  const [, , , input, output] = /** @type {any[]} */ (child.stdio);
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  const calls = new Map();
  let said = "";
  output.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
    said += text;
    const messages = said.split("\0");
    said = messages.pop() ?? "";
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const call = calls.get(id);
      calls.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result);
    }
  });
  let last = 0;
  /** @returns {Promise<any>} */
  const send = (
    /** @type {string} */ method,
    params = {},
    /** @type {string | undefined} */ sessionId = undefined,
  ) =>
    new Promise((resolve, reject) => {
      calls.set(++last, { resolve, reject });
      input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });

  return {
    send,
    /** A tab in front of the others. @returns {Promise<Tab>} */
    async open(/** @type {string} */ url) {
      const { targetId } = await send("Target.createTarget", { url });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      const ofTab = (/** @type {string} */ method, params = {}) => send(method, params, sessionId);
      /** @type {Tab} */
      const tab = {
        send: ofTab,
        /** The value of an expression, awaited. */
        async evaluate(expression) {
          const options = { expression, awaitPromise: true, returnByValue: true };
          const { result, exceptionDetails } = await ofTab("Runtime.evaluate", options);
          if (!exceptionDetails) return result.value;
          const { exception, text } = exceptionDetails;
          throw new Error(exception?.description ?? text);
        },
      };
      const loaded = () => tab.evaluate(`location.href !== "about:blank" && document.readyState`);
      while ((await loaded().catch(() => "not yet")) !== "complete") await setTimeout(20);
      return tab;
    },
    async close() {
      await send("Browser.close").catch(() => {});
      await exited;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
