// The policy in docs/hosts.md, sent with every file: nothing is refused on any host.

import { readFileSync } from "node:fs";
import { expect, PACK, test } from "../harness/fixtures.js";

const docs = readFileSync(new URL("../../docs/hosts.md", import.meta.url), "utf8");
const POLICY = /^ {4}Content-Security-Policy: (.+)$/m.exec(docs)?.[1] ?? "";

test("engines load and answer under the documented policy", async ({ page, server }) => {
  expect(POLICY).toContain("default-src 'none'");
  server.headers["content-security-policy"] = POLICY;
  await page.goto(`${server.url}csp.html`);
  await page.waitForFunction(() => "webbuild" in globalThis);
  const answers = await page.evaluate(async (pack) => {
    const answers: unknown[] = [];
    for (const worker of [true, false, "shared"] as const) {
      const engine = await webbuild.Engine.load(pack, { worker });
      const { choices } = await engine.chat.completions.create({
        messages: [{ role: "user", content: "What is 17 + 25?" }],
        temperature: 0,
        max_tokens: 8,
      });
      answers.push(choices[0]?.message.content);
      await engine.unload();
    }
    return answers;
  }, PACK);
  expect(answers[0]).not.toBe("");
  expect(answers).toEqual([answers[0], answers[0], answers[0]]);
});

test.describe("the policy is in force", () => {
  test.use({ allowedErrors: /Content Security Policy/ });

  test("what it forbids is refused", async ({ page, server }) => {
    server.headers["content-security-policy"] = POLICY;
    await page.goto(`${server.url}csp.html`);
    // In the page's own world: what DevTools evaluates is not under the policy.
    const refused = await page.evaluate(
      () =>
        new Promise((resolve) => {
          addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
          const script = document.createElement("script");
          script.src = "https://elsewhere.test/x.js";
          document.head.append(script);
        }),
    );
    expect(refused).toBe("script-src-elem");
  });
});
