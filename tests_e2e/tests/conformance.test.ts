// The same requests get the same answers on every host and in every form. All of them run on one host, a part on the others
// (WEBBUILD_CONFORMANCE=all: all, as `make figure-conformance` does, which writes the table in docs/conformance.md).

import { writeFileSync } from "node:fs";
import { FORMS } from "../conformance/answer.js";
import { HOSTS } from "../conformance/hosts.js";
import { REQUESTS } from "../conformance/requests.js";
import { compare, withHosts } from "../conformance/suite.js";
import { expect, test } from "../harness/fixtures.js";

test("there are at least 150 requests, each with a name of its own", () => {
  expect(REQUESTS.length).toBeGreaterThanOrEqual(150);
  expect(new Set(REQUESTS.map(({ id }) => id)).size).toBe(REQUESTS.length);
  expect(FORMS.length * HOSTS.length).toBe(28);
});

test("hosts and forms agree", async ({ adapter, browserProcess, upstream }) => {
  test.setTimeout(3_600_000);
  const where = { adapter, browser: browserProcess, site: upstream };
  const results = await withHosts(where, process.env.WEBBUILD_CONFORMANCE === "all");
  const { differences, counts } = compare(results);
  const file = process.env.WEBBUILD_CONFORMANCE_REPORT;
  if (file) {
    const hosts = Object.fromEntries(
      [...counts].map(([host, groups]) => [host, Object.fromEntries(groups)]),
    );
    writeFileSync(file, JSON.stringify({ requests: REQUESTS.length, hosts }));
  }
  expect(differences.filter(({ rounding }) => !rounding)).toEqual([]);
});
