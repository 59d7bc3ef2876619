// `make screenshots`: the pictures in docs/images, taken of the built site on real WebGPU: a desktop in light colours and a
// phone in dark ones, side by side; of the chat and of the benchmark.

import { fileURLToPath } from "node:url";
import { chosenAdapter, launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const site = fileURLToPath(new URL("../demo_site/dist", import.meta.url));
const QUESTIONS = ["What is webbuild?", "What is 37 + 5?", "What is the month before November?"];

const server = await serve(site);
const browser = await launch(chosenAdapter(), { deviceScaleFactor: 2 });
try {
  await picture("chat", chat);
  await picture("bench", benchmark);
} finally {
  await browser.close();
  await server.close();
}

/**
 * Writes docs/images/NAME.png.
 * @param {string} name
 * @param {(page: import("@playwright/test").Page) => Promise<void>} show brings a page to what the picture shows
 */
async function picture(name, show) {
  const desktop = await shoot({ width: 1000, height: 700 }, "light", show);
  const phone = await shoot({ width: 360, height: 700 }, "dark", show);
  const path = fileURLToPath(new URL(`../docs/images/${name}.png`, import.meta.url));
  const page = await browser.newPage();
  await page.setViewportSize({ width: 1440, height: 780 });
  await page.setContent(`
    <body style="margin:0;height:100vh;display:flex;gap:30px;align-items:center;justify-content:center;
      background:linear-gradient(120deg,#dcebe7,#efe9df)">
      ${[desktop, phone]
        .map(
          (png) => `<img height="690" src="data:image/png;base64,${png.toString("base64")}"
            style="border-radius:14px;box-shadow:0 12px 40px rgb(0 0 0/.25)">`,
        )
        .join("")}`);
  await page.screenshot({ path, scale: "css" });
  await page.close();
  console.log(path);
}

/**
 * @param {{ width: number, height: number }} size CSS pixels
 * @param {"light" | "dark"} colorScheme
 * @param {(page: import("@playwright/test").Page) => Promise<void>} show
 */
async function shoot(size, colorScheme, show) {
  const page = await browser.newPage();
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await show(page);
  const png = await page.screenshot();
  await page.close();
  return png;
}

/** A conversation. @param {import("@playwright/test").Page} page */
async function chat(page) {
  await page.goto(server.url);
  await page.getByRole("button", { name: "What is webbuild?" }).waitFor();
  for (const question of QUESTIONS) {
    await page.getByRole("textbox", { name: "Message" }).fill(question);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Regenerate" }).waitFor();
  }
}

/** A result. @param {import("@playwright/test").Page} page */
async function benchmark(page) {
  await page.goto(`${server.url}bench.html`);
  await page.getByLabel("1,024 tokens").first().check();
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByRole("heading", { name: "Result" }).waitFor({ timeout: 300_000 });
  // What was measured, and the plots under it.
  await page.locator(".facts").evaluate((facts) => {
    window.scrollTo(0, facts.getBoundingClientRect().bottom + window.scrollY - 58);
  });
}
