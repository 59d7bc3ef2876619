/** Reports against the table that Python's are compared with too. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { caseReport, loadReport, profileReport } from "./report.js";
import type { ProfiledStep, StepTraffic } from "./types.js";

const table = JSON.parse(
  readFileSync(new URL("../testing/bench_report.json", import.meta.url), "utf8"),
);

type Row = [label: string, kernel: string, begin: number, end: number];

const stepsOf = (rows: [number, ...Row[]][]): ProfiledStep[] =>
  rows.map(([tokens, ...launches]) => ({
    tokens,
    launches: launches.map(([label, kernel, begin, end]) => ({ label, kernel, begin, end })),
  }));

/** With the sums over launches, which the engine counts. */
function trafficOf(row: Omit<StepTraffic, "read" | "written"> | null): StepTraffic | null {
  const sum = (key: "read" | "written") => row?.launches.reduce((n, l) => n + l[key], 0) ?? 0;
  return row && { ...row, read: sum("read"), written: sum("written") };
}

describe("a case", () => {
  test.each([0, 1])("number %i counts its best rounds", (i) => {
    const { case: what, answers, traffic, report } = table.cases[i];
    expect(caseReport(what, answers, trafficOf(traffic))).toEqual(report);
  });
});

describe("a profile", () => {
  test.each<{ why: string; row: number }>(
    table.profiles.map(({ why }: { why: string }, row: number) => ({ why, row })),
  )("$why", ({ row }) => {
    const { case: what, counted, split, whole, report } = table.profiles[row];
    const traffic = counted ? trafficOf(table.cases[0].traffic) : null;
    expect(profileReport(what, stepsOf(split), stepsOf(whole), traffic)).toEqual(report);
  });
});

test("a load has its parts", () => {
  const { start, answer, report } = table.load;
  expect(loadReport(start, answer)).toEqual(report);
  expect(loadReport("cached", { total: 5, parts: null }).parts).toBeNull();
});
