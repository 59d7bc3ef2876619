// Has the chat site's model write a long answer and watches the page's main thread.
//
//   node scripts/figures/ui_thread.mjs SITE ROUNDS
//
// SITE is a built chat site whose model ends no answer before the limit of 512 tokens. The last line of standard output
// is one JSON object.

import { chosenAdapter, launch } from "../browser.mjs";
import { recordTasks } from "../main_thread.mjs";
import { serve } from "../serve.mjs";

const [site = "", rounds = "3"] = process.argv.slice(2);
const server = await serve(site);
const browser = await launch(chosenAdapter());
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("pageerror", (error) => console.error(error.message));
  // Far from the likeliest text there are words, lists and code of every kind.
  await page.addInitScript(() => {
    localStorage.setItem("webbuild.settings", JSON.stringify({ temperature: 1.5, seed: "1" }));
    const observed = /** @type {any} */ (globalThis);
    observed.longTasks = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) observed.longTasks.push(duration);
    }).observe({ type: "longtask" });
  });
  await page.goto(server.url);
  await page.getByRole("button", { name: "What is webbuild?" }).waitFor();
  const answers = [];
  for (let round = 0; round < Number(rounds); round++) {
    await page.evaluate(() => {
      /** @type {any} */ (globalThis).longTasks.length = 0;
    });
    const { tasks } = await recordTasks(page, async () => {
      await page.getByRole("textbox", { name: "Message" }).fill("Tell me a story.");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Regenerate" }).waitFor();
    });
    const answer = page.locator(".turn.assistant").last();
    const figures = await answer.locator(".figures").textContent();
    answers.push({
      tokens: Number(/(\d+) tokens?\b(?!\/)/.exec(figures ?? "")?.[1]),
      characters: (await answer.locator(".markdown").textContent())?.length,
      tasks: tasks.length,
      busy_ms: Math.round(tasks.reduce((sum, { cpuMs }) => sum + cpuMs, 0)),
      longest_ms: Math.max(...tasks.map(({ ms }) => ms)),
      longest_cpu_ms: Math.max(...tasks.map(({ cpuMs }) => cpuMs)),
      over_50_ms: tasks.filter(({ ms }) => ms > 50).length,
      over_50_cpu_ms: tasks.filter(({ cpuMs }) => cpuMs > 50).length,
      observed: await page.evaluate(() => /** @type {any} */ (globalThis).longTasks.length),
    });
    await page.getByRole("button", { name: "New chat" }).click();
  }
  console.log(JSON.stringify(answers));
} finally {
  await browser.close();
  await server.close();
}
