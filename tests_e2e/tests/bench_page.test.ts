// The site's benchmark page: the same benchmark as `webbuild bench`, and a report that the command reads.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { launch } from "../../scripts/browser.mjs";
import { expect, test } from "../harness/fixtures.js";
import { siteFolder } from "../harness/site.js";

const start = (page: Page) => page.getByRole("button", { name: "Start" });
const result = (page: Page) => page.getByRole("heading", { name: "Result" });

// A software adapter compiles every kernel of the pack first.
test.setTimeout(300_000);

async function open(page: Page, url: string): Promise<void> {
  await page.goto(`${url}bench.html`);
  await expect(start(page)).toBeEnabled();
}

/** Prompt of 128 tokens and a context of 1,024, four tokens each, once. */
async function choose(page: Page): Promise<void> {
  await page.getByLabel("Tokens to generate").fill("4");
  await page.getByLabel("Rounds").fill("1");
  await page.getByLabel("2,044 tokens").last().uncheck();
}

/** Colours have become those of the scheme. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
  });
}

function webbuild(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("webbuild", args, { encoding: "utf8" });
  expect(status, stderr).toBe(0);
  return stdout;
}

test("measures the demo pack, draws it, and writes what webbuild bench reads", async ({
  page,
  server,
}) => {
  await page.goto(server.url);
  await page.getByRole("link", { name: "Benchmark" }).click();
  await expect(start(page)).toBeEnabled();
  await choose(page);
  await start(page).click();
  await expect(page.getByRole("button", { name: "Cancel" })).toBeFocused();
  await expect(result(page)).toBeFocused({ timeout: 240_000 });
  await expect(page.locator(".facts")).toContainText("webbuild-demo");

  // Every plot has bars, and the longest is as wide as its track.
  const plots = page.locator(".plot");
  await expect(page.getByRole("heading", { name: "Decode", exact: true })).toBeVisible();
  for (const plot of await plots.all()) {
    const [widths, track] = await plot.evaluate((figure) => [
      [...figure.querySelectorAll(".bar")].map((bar) => bar.getBoundingClientRect().width),
      figure.querySelector(".track")?.getBoundingClientRect().width ?? 0,
    ]);
    expect(Math.min(...widths)).toBeGreaterThan(0);
    expect(Math.max(...widths)).toBeLessThanOrEqual(track + 0.5);
  }
  await expect(plots.filter({ hasText: "by tokens in the context" }).first()).toContainText(
    /128.*tokens\/s.*1,024.*tokens\/s/,
  );

  const folder = mkdtempSync(join(tmpdir(), "bench-page-"));
  try {
    const file = join(folder, "page.json");
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download JSON" }).click();
    await (await downloading).saveAs(file);
    const report = JSON.parse(readFileSync(file, "utf8"));
    const { a } = report.subjects;
    expect(a.place).toBe("page");
    expect(a.loads.map(({ start }: { start: string }) => start)).toEqual(["cold", "cached"]);
    expect(a.bandwidth.copy_bytes_per_s).toBeGreaterThan(0);
    expect(a.cases.map((c: { context: number }) => c.context)).toEqual([128, 1024]);
    expect(a.cases[0].prefill_tokens_per_s).toBeGreaterThan(0);
    for (const [i, name] of ["decode", "decode_split"].entries()) {
      const found = a.cases[i];
      expect(found.decode_tokens_per_s).toBeGreaterThan(0);
      expect(found.js_ms_per_token).toBeGreaterThan(0);
      expect(found.per_token).toEqual({
        // One sequence shares no prefix: of a split step, a launch of each of the 6 layers is skipped.
        launches: a.launches[name] + a.launches.sample - (name === "decode_split" ? 6 : 0),
        submits: 1,
        write_buffers: 1,
        created_buffers: 0,
        created_bind_groups: 0,
      });
    }
    if (a.timestamps) {
      expect(a.profile.launches).toHaveLength(a.launches.decode + a.launches.sample);
      // Browsers round timestamps to 65 µs: of a step of 3 ms, a gap between launches may be 2 %.
      expect(a.profile.attributed).toBeGreaterThanOrEqual(0.9);
      expect(a.profile.attributed).toBeLessThanOrEqual(1);
      await expect(page.getByRole("heading", { name: "GPU time" })).toBeVisible();
    }

    // The command reads the file, writes the same again, and compares it with itself.
    const again = join(folder, "again.json");
    const plot = join(folder, "plot.svg");
    const said = webbuild("bench", file, "--json", again, "--plot", plot);
    expect(said).toContain("Tokens per second");
    expect(JSON.parse(readFileSync(again, "utf8"))).toEqual(report);
    expect(readFileSync(plot, "utf8")).toContain("<svg");
    expect(webbuild("bench", file, file)).toContain("B/A");

    // Bytes are counted in TypeScript here and in Python there.
    const pack = join(siteFolder, "packs/demo");
    const { traffic } = JSON.parse(
      webbuild("inspect", pack, "--json", "--context", "128,1024"),
    ) as { traffic: ({ tier: string; context: number } & Record<string, unknown>)[] };
    for (const found of a.cases) {
      const { tier, context, ...counted } =
        traffic.find((row) => row.tier === a.tier && row.context === found.context) ?? {};
      expect(counted).toMatchObject({
        bytes_read: found.bytes_read_per_token,
        bytes_written: found.bytes_written_per_token,
        bytes_needed: found.bytes_needed_per_token,
      });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }

  for (const viewport of [
    { width: 360, height: 740 },
    { width: 1280, height: 800 },
  ]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await settled(page);
      expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    }
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBe(0);
  }

  // A second run, cancelled from the keyboard, leaves no worker behind.
  await page.getByLabel("Tokens to generate").fill("128");
  await page.getByLabel("Rounds").fill("10");
  await start(page).press("Enter");
  await expect.poll(() => page.workers().length).toBe(1);
  await expect(page.getByRole("heading", { name: /round 1|warming up/ })).toBeVisible();
  await page.getByRole("button", { name: "Cancel" }).press("Enter");
  await expect(page.getByText("Cancelled: nothing runs any more.")).toBeVisible();
  await expect.poll(() => page.workers().length).toBe(0);
  await expect(start(page)).toBeFocused();
  await expect(result(page)).toHaveCount(0);
});

test("nothing chosen, nothing started", async ({ page, server }) => {
  await open(page, server.url);
  for (const box of await page.getByRole("checkbox").all()) await box.uncheck();
  await expect(start(page)).toBeDisabled();
  await expect(page.getByText("Choose a prompt or a context first.")).toBeVisible();
});

test.describe("a pack that is not there", () => {
  test.use({ allowedErrors: /Failed to load resource/ });

  test("is named, and another can be measured instead", async ({ page, server }) => {
    await page.goto(`${server.url}bench.html?pack=packs/none/`);
    await expect(page.getByRole("alert")).toContainText("MissingFile");
    await expect(page.getByRole("alert")).toContainText("pack.json");
    await page.getByRole("button", { name: "Check" }).click();
    await expect(start(page)).toBeEnabled();
    await expect(page.getByRole("alert")).toHaveCount(0);
  });

  test("any more is named when the benchmark starts", async ({ page, server }) => {
    await open(page, server.url);
    await choose(page);
    await page.route(/params_shard/, (route) => route.fulfill({ status: 404 }));
    server.reset();
    await start(page).click();
    await expect(page.getByRole("alert")).toContainText(/MissingFile|NetworkError/);
    await expect.poll(() => page.workers().length).toBe(0);
    await expect(start(page)).toBeFocused();
  });
});

test("without an adapter the page says what to do", async ({ server }) => {
  const browser = await launch("none");
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}bench.html`);
    await expect(page.getByRole("heading", { name: /no WebGPU/ })).toBeVisible();
    await expect(start(page)).toHaveCount(0);
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  } finally {
    await browser.close();
  }
});
