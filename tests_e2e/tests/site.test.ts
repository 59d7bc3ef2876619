// The chat site as a visitor meets it.

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { build } from "esbuild";
import { launch } from "../../scripts/browser.mjs";
import { recordTasks } from "../../scripts/main_thread.mjs";
import { expect, test } from "../harness/fixtures.js";
import type { ProxyServer } from "../harness/proxy_server.js";

const message = (page: Page) => page.getByRole("textbox", { name: "Message" });
const answers = (page: Page) => page.locator(".turn.assistant");

/** The answer has ended when it can be drawn again. */
async function ask(page: Page, text: string): Promise<string> {
  await message(page).fill(text);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Regenerate" }).waitFor();
  return ((await answers(page).last().locator(".markdown").textContent()) ?? "").trim();
}

/** Waits until the embedded model is loaded. */
async function open(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await expect(page.getByRole("button", { name: "What is webbuild?" })).toBeVisible();
}

/** Answers go on to their limit: no token ends them. @param context tokens that it holds, if not as many as it can */
function endless(server: ProxyServer, context?: number): void {
  server.breakPath("/packs/demo/pack.json", {
    rewrite: (body) => {
      const manifest = JSON.parse(body.toString());
      manifest.tokens.eos = [];
      if (context) manifest.limits.default_context_length = context;
      return Buffer.from(JSON.stringify(manifest));
    },
  });
}

test("loads the embedded model, answers, regenerates", async ({ page, server }) => {
  await open(page, server.url);
  await expect(page.locator(".status-line")).toContainText("GPU memory");

  await page.getByRole("button", { name: "What is webbuild?" }).click();
  await page.getByRole("button", { name: "Regenerate" }).waitFor();
  await expect(answers(page)).toHaveCount(1);
  await expect(answers(page).last().locator(".markdown")).not.toBeEmpty();
  await expect(answers(page).last()).toContainText(/[\d,]+ tokens?\b/);

  await page.getByRole("button", { name: "Regenerate" }).click();
  await page.getByRole("button", { name: "Regenerate" }).waitFor();
  await expect(answers(page)).toHaveCount(1);

  // The finished answer is announced once, whole.
  const announced = ((await page.getByRole("status").textContent()) ?? "").trim();
  expect(announced).not.toBe("");
  expect(announced).not.toBe("Answering");

  await page.getByRole("button", { name: "New chat" }).click();
  await expect(answers(page)).toHaveCount(0);
});

test("no task of the page's thread takes 50 ms of processor time while 512 tokens arrive", async ({
  adapter,
  server,
}) => {
  endless(server);
  // A browser of its own: one that has run many tests leaves this page out of its traces.
  const browser = await launch(adapter);
  try {
    const page = await browser.newPage();
    await page.addInitScript(() => {
      localStorage.setItem("webbuild.settings", JSON.stringify({ temperature: 1.5, seed: "1" }));
    });
    await open(page, server.url);
    const { tasks } = await recordTasks(page, () => ask(page, "Tell me a story."));
    await expect(answers(page).last()).toContainText("512 tokens");
    // Tasks that show text, at least one for some of the frames.
    expect(tasks.length).toBeGreaterThan(20);
    expect(tasks.filter(({ cpuMs }) => cpuMs > 0).length).toBeGreaterThan(0);
    expect(tasks.filter(({ cpuMs }) => cpuMs >= 50)).toEqual([]);
  } finally {
    await browser.close();
  }
});

test("a chat that outgrows the context goes on, and says that its oldest part was left out", async ({
  page,
  server,
}) => {
  endless(server, 256);
  await page.addInitScript(() => {
    localStorage.setItem("webbuild.settings", JSON.stringify({ maxTokens: 100 }));
  });
  await open(page, server.url);
  const note = answers(page).last().getByText("its oldest part was left out");
  await ask(page, "Tell me a story.");
  await expect(note).toHaveCount(0);
  for (let i = 0; i < 12; i++) await ask(page, "Go on."); // tokens without text are not in the history
  await expect(answers(page).last()).toContainText("100 tokens");
  await expect(note).toBeVisible();
  await expect(page.getByRole("alert")).toHaveCount(0);
});

test("settings reach the request and survive a reload", async ({ page, server }) => {
  await open(page, server.url);
  await page.getByRole("button", { name: "Model and settings" }).click();
  await page.getByLabel("Max tokens, as a number").fill("2");
  await page.getByLabel("Seed").fill("7");
  await page.keyboard.press("Escape");
  await ask(page, "Tell me a story.");
  await expect(answers(page).last()).toContainText("2 tokens");
  await expect(answers(page).last()).toContainText("Cut at the limit");

  await page.reload();
  await page.getByRole("button", { name: "Model and settings" }).click();
  await expect(page.getByLabel("Max tokens, as a number")).toHaveValue("2");
  await expect(page.getByLabel("Seed")).toHaveValue("7");
});

test("numbers that a request would refuse become those that it takes", async ({ page, server }) => {
  await open(page, server.url);
  await page.getByRole("button", { name: "Model and settings" }).click();
  for (const [label, typed, taken] of [
    ["Max tokens", "2.5", "3"],
    ["Max tokens", "99999", "4096"],
    ["Top-k", "-1", "0"],
    ["Top-p", "", "0.95"],
  ] as const) {
    const field = page.getByLabel(`${label}, as a number`);
    await field.fill(typed);
    await field.blur();
    await expect(field).toHaveValue(taken);
  }
});

test("buttons that go leave the focus to what comes next", async ({ page, server }) => {
  endless(server);
  await open(page, server.url);
  await expect(message(page)).toBeFocused();
  for (const [name, after] of [
    ["What is webbuild?", "Stop"],
    ["Regenerate", "Stop"],
    ["New chat", "What is webbuild?"],
  ] as const) {
    await page.getByRole("button", { name }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: after }).waitFor();
    await expect(message(page)).toBeFocused();
    if (after === "Stop") {
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Regenerate" }).waitFor();
    }
  }
});

test("a load can be cancelled and started again, from the keyboard alone", async ({
  page,
  server,
}) => {
  server.breakPath("/packs/demo/params_shard_0.bin", { stallAfter: 100_000 });
  await page.goto(server.url);
  await page.getByRole("button", { name: "Cancel" }).focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "Load", exact: true })).toBeFocused();
  server.repair();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("button", { name: "What is webbuild?" })).toBeVisible();
  await expect(message(page)).toBeFocused();
});

test("what is typed outlives a reload", async ({ page, server }) => {
  await open(page, server.url);
  await message(page).fill("half a question");
  await page.reload();
  await expect(message(page)).toHaveValue("half a question");
  await expect(page.getByRole("button", { name: "What is webbuild?" })).toBeVisible();
  await ask(page, "What is 7 + 7?");
  await page.reload();
  await expect(message(page)).toHaveValue("");
});

test("a conversation outlives a reload, and an answer that was streaming", async ({
  page,
  server,
}) => {
  endless(server);
  await page.addInitScript(() => {
    localStorage.setItem("webbuild.settings", JSON.stringify({ maxTokens: 1900, temperature: 0 }));
  });
  await open(page, server.url);
  await message(page).fill("What is 7 + 7?");
  await page.keyboard.press("Enter");
  await expect(answers(page).locator(".markdown")).toContainText("14");
  await page.reload();
  await expect(page.locator(".bubble")).toHaveText("What is 7 + 7?");
  await expect(answers(page).locator(".markdown")).toContainText("14");

  // It goes on from there, with all that was said.
  await page.getByRole("button", { name: "Regenerate" }).click();
  await page.getByRole("button", { name: "Stop" }).click();
  await expect(answers(page)).toHaveCount(1);
  await page.getByRole("button", { name: "New chat" }).click();
  await page.reload();
  await expect(page.getByRole("button", { name: "What is webbuild?" })).toBeVisible();
  await expect(answers(page)).toHaveCount(0);

  // What another page left there is no conversation.
  const strange = [{ role: "user", text: "kept", status: "done" }, { role: "judge" }];
  for (const stored of ["{", "null", "[null]", "7", JSON.stringify(strange)]) {
    await page.evaluate((text) => {
      // After the page has written its own.
      addEventListener("pagehide", () => sessionStorage.setItem("webbuild.conversation", text));
    }, stored);
    await page.reload();
    await expect(page.locator(".bubble")).toHaveText(stored.includes("kept") ? ["kept"] : []);
    await expect(message(page)).toBeEditable();
  }
});

test("text that is written from right to left begins on the right", async ({ page, server }) => {
  await open(page, server.url);
  await ask(page, "مرحبا بالعالم");
  const bubble = page.locator(".bubble").last();
  await expect(bubble).toHaveCSS("direction", "rtl");
  await ask(page, "Hello!");
  await expect(bubble).toHaveCSS("direction", "ltr");
});

test("the end of an answer stays above the bar, with the dashboard open", async ({
  page,
  server,
}) => {
  await page.setViewportSize({ width: 1280, height: 800 });
  await open(page, server.url);
  for (let i = 0; i < 5; i++) await ask(page, "What is 17 + 25?");
  const gap = () =>
    page.evaluate(() => {
      const [end, bar] = [".turn:last-child", ".bottom-bar"].map((name) =>
        document.querySelector(name)?.getBoundingClientRect(),
      );
      return (bar?.top ?? 0) - (end?.bottom ?? 0);
    });
  expect(await gap()).toBeGreaterThanOrEqual(0);
  await page.getByText("What the engine is doing").click();
  await expect(page.getByText(/0 running, 0 waiting/)).toBeVisible();
  await expect.poll(gap).toBeGreaterThanOrEqual(0);
  // Nor does it cover a small window.
  await page.setViewportSize({ width: 640, height: 400 });
  // The page follows the end once or twice more, when it has seen the new sizes.
  await expect(async () => {
    await page.evaluate(() => scrollTo(0, 0));
    await expect(page.locator(".top-bar")).toBeInViewport({ ratio: 1, timeout: 500 });
    await expect(page.locator(".bottom-bar")).not.toBeInViewport({ timeout: 500 });
  }).toPass();
});

test("an answer can be stopped, from the keyboard alone", async ({ page, server }) => {
  endless(server); // the demo model's answers take a tenth of a second
  await open(page, server.url);
  await page.keyboard.press("Tab");
  await message(page).focus();
  await page.keyboard.type("Tell me a story.");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Stop" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Regenerate" }).waitFor();
  await expect(answers(page).last()).toContainText("stopped");

  // The dialog takes the focus, closes on Escape and gives it back.
  const settings = page.getByRole("button", { name: "Model and settings" });
  await settings.focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toBeHidden();
  await expect(settings).toBeFocused();
});

test("the dashboard shows eight questions sharing steps", async ({ page, server }) => {
  await open(page, server.url);
  await page.getByText("What the engine is doing").click();
  await expect(page.getByText(/0 running, 0 waiting/)).toBeVisible();
  const begun = page.getByText("Answering eight questions…").waitFor(); // looks out before it may be over
  await page.getByRole("button", { name: "Ask eight questions at once" }).click();
  await begun;
  await page.getByRole("button", { name: "Ask eight questions at once" }).waitFor();
  const figure = (name: string) =>
    page.locator(".dashboard dl div", { hasText: name }).locator("dd");
  await expect(figure("Drawn so far")).not.toHaveText("0 tokens");
  await expect
    .poll(async () => Number(await figure("Requests per step").textContent()))
    .toBeGreaterThan(1.5);
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
});

test("another pack is checked, and loaded only when told to", async ({ page, server }) => {
  await open(page, server.url);
  await page.getByRole("button", { name: "Model and settings" }).click();
  await page.getByLabel("Load another pack by URL").fill(`${server.url}packs/demo/`);
  server.reset();
  await page.getByRole("button", { name: "Check" }).click();
  await expect(page.getByRole("heading", { name: "Load this model?" })).toBeVisible();
  expect(server.exchanges.filter(({ path }) => path.endsWith(".bin"))).toEqual([]);
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await expect(page.locator(".status-line")).toContainText("GPU memory");
});

test("another pack can be loaded in the middle of an answer", async ({ page, server }) => {
  endless(server);
  await page.addInitScript(() => {
    localStorage.setItem("webbuild.settings", JSON.stringify({ maxTokens: 1900 }));
  });
  await open(page, server.url);
  await page.getByRole("button", { name: "Model and settings" }).click();
  await page.getByLabel("Load another pack by URL").fill(`${server.url}packs/demo/`);
  await page.keyboard.press("Escape");
  await page.evaluate(() => {
    new MutationObserver(() => {
      if (document.querySelector(".card.failed")) document.title = "It failed";
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await page.getByRole("button", { name: "What is webbuild?" }).click();
  await page.getByRole("button", { name: "Model and settings" }).click();
  await page.getByRole("button", { name: "Check" }).click();
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await expect(page.locator(".status-line")).toContainText("GPU memory");
  await expect(answers(page).last()).toContainText("the engine was unloaded");
  await expect(page).toHaveTitle("webbuild chat");
});

test.describe("a pack that is not there", () => {
  test.use({ allowedErrors: /Failed to load resource/ });

  test("is reported, with a way back", async ({ page, server }) => {
    await page.goto(`${server.url}?pack=packs/none/`);
    await expect(page.getByRole("alert")).toContainText("pack.json");
    await page.getByRole("button", { name: "Use the embedded toy model" }).click();
    await expect(page.getByRole("button", { name: "What is webbuild?" })).toBeVisible();
  });

  test("leaves the model that works as it is", async ({ page, server }) => {
    await open(page, server.url);
    await page.getByRole("button", { name: "Model and settings" }).click();
    await page.getByLabel("Load another pack by URL").fill(`${server.url}packs/none/`);
    await page.getByRole("button", { name: "Check" }).click();
    await expect(page.getByRole("alert")).toContainText("pack.json");
    const before = server.exchanges.length;
    await page.getByRole("button", { name: /^Back to / }).click();
    expect(await ask(page, "What is 7 + 7?")).toContain("14");
    const fetched = server.exchanges.slice(before).map(({ path }) => path);
    expect(fetched.filter((path) => path.includes("/packs/"))).toEqual([]);
  });
});

test("without an adapter the page says what to do", async ({ server }) => {
  const browser = await launch("none");
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    await expect(page.getByRole("heading", { name: /no WebGPU/ })).toBeVisible();
    await expect(page.getByRole("heading", { name: /Chromium browser/ })).toBeVisible();
    await expect(page.getByText("Still nothing? Open chrome://gpu")).toBeVisible();
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  } finally {
    await browser.close();
  }
});

test("hostile Markdown becomes harmless", async ({ page, pageErrors }) => {
  const { outputFiles } = await build({
    entryPoints: [new URL("../../demo_site/src/markdown.ts", import.meta.url).pathname],
    bundle: true,
    format: "iife",
    globalName: "markdown",
    write: false,
  });
  await page.addScriptTag({ content: outputFiles[0]?.text ?? "" });
  const html = await page.evaluate(() =>
    // biome-ignore lint/suspicious/noExplicitAny: the bundle's global
    (globalThis as any).markdown.renderMarkdown(
      [
        "**bold** <script>alert(1)</script> <img src=x onerror=alert(1)>",
        "![pixel](https://example.org/pixel.png)",
        "[bad](javascript:alert(1)) [good](https://example.org)",
        "<form action=//evil><input></form>",
        "",
        "```html",
        "<b>code</b>",
        "```",
      ].join("\n"),
    ),
  );
  const links = await page.evaluate((html) => {
    const { body } = new DOMParser().parseFromString(html, "text/html");
    return {
      tags: [...new Set([...body.querySelectorAll("*")].map(({ localName }) => localName))].sort(),
      hrefs: [...body.querySelectorAll("a")].map((a) => a.getAttribute("href")),
      code: body.querySelector("pre code")?.textContent,
    };
  }, html);
  expect(links.tags).toEqual(["a", "br", "code", "p", "pre", "strong"]);
  expect(links.hrefs).toEqual([null, "https://example.org"]);
  expect(links.code).toBe("<b>code</b>\n");
  // Deeper than the parser's stack, and so shown as it is.
  const deep = ">".repeat(20_000);
  const shown = await page.evaluate((text) => {
    // biome-ignore lint/suspicious/noExplicitAny: the bundle's global
    const html = (globalThis as any).markdown.renderMarkdown(text);
    return new DOMParser().parseFromString(html, "text/html").body.textContent;
  }, deep);
  expect(shown).toBe(deep);
  expect(pageErrors).toEqual([]);
});

for (const [size, viewport] of Object.entries({
  phone: { width: 360, height: 740 },
  "desktop at 400 %": { width: 320, height: 256 },
  desktop: { width: 1280, height: 800 },
})) {
  test(`accessible and unclipped on a ${size}, light and dark`, async ({ page, server }) => {
    await page.setViewportSize(viewport);
    await open(page, server.url);
    await ask(page, "What is 17 + 25?");
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
      await page.getByRole("button", { name: "Model and settings" }).click();
      expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
      await page.keyboard.press("Escape");
    }
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBe(0);
  });
}
