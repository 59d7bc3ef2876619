// `make screenshots`: the README's picture, taken of the built chat site on real WebGPU: a desktop
// in light colours and a phone in dark ones, side by side.

import { fileURLToPath } from "node:url";
import { chosenAdapter, launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const site = fileURLToPath(new URL("../demo_site/dist", import.meta.url));
const picture = fileURLToPath(new URL("../docs/images/chat.png", import.meta.url));
const QUESTIONS = ["What is webbuild?", "What is 37 + 5?", "What is the month before November?"];

const server = await serve(site);
const browser = await launch(chosenAdapter(), { deviceScaleFactor: 2 });
try {
  const desktop = await shoot({ width: 1000, height: 700 }, "light");
  const phone = await shoot({ width: 360, height: 700 }, "dark");

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
  await page.screenshot({ path: picture, scale: "css" });
  console.log(picture);
} finally {
  await browser.close();
  await server.close();
}

/**
 * A conversation on the site.
 * @param {{ width: number, height: number }} size CSS pixels
 * @param {"light" | "dark"} colorScheme
 */
async function shoot(size, colorScheme) {
  const page = await browser.newPage();
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await page.goto(server.url);
  await page.getByRole("button", { name: "What is webbuild?" }).waitFor();
  for (const question of QUESTIONS) {
    await page.getByRole("textbox", { name: "Message" }).fill(question);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Regenerate" }).waitFor();
  }
  const png = await page.screenshot();
  await page.close();
  return png;
}
