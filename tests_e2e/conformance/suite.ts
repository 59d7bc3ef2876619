// Runs the requests on hosts and compares what they say.

import { type Asked, FORMS, type Form, type Outcome } from "./answer.js";
import { HOSTS, type HostName, openHost, type Where } from "./hosts.js";
import { type ConformanceRequest, REQUESTS } from "./requests.js";

export interface Result {
  host: HostName;
  form: Form;
  request: ConformanceRequest;
  outcome: Outcome;
}

/** One in 19, from most groups, and one each of what needs code that is loaded on demand or another endpoint. */
const part = ({ id }: ConformanceRequest, i: number) =>
  i % 19 === 3 || ["tools/4", "format/2", "responses/7"].includes(id);

/** @param all every request on every host in every form; otherwise all once, and a part of them everywhere */
export async function withHosts(where: Where, all: boolean): Promise<Result[]> {
  const results: Result[] = [];
  for (const name of HOSTS) {
    const host = await openHost(name, where);
    try {
      const asked = FORMS.flatMap((form) => {
        const whole = all || (name === "worker" && form === "whole");
        const requests = whole ? REQUESTS : REQUESTS.filter(part);
        return requests.map((request) => ({ form, request }));
      });
      const wire = asked.map(({ form, request: { params } }): Asked => ({ form, params }));
      const outcomes = await host.ask(wire);
      outcomes.forEach((outcome, i) => {
        results.push({ host: name, ...(asked[i] as (typeof asked)[number]), outcome });
      });
    } finally {
      await host.close();
    }
  }
  return results;
}

export interface Difference {
  id: string;
  host: HostName;
  /** Rounding may be why: see {@link ROUNDS_OTHERWISE}. */
  rounding: boolean;
  form: Form;
  expected: unknown;
  outcome: Outcome;
}

/**
 * Deno compiles kernels by naga, all other hosts by Tint. Logits differ in their last bits, and a token that is drawn at a
 * temperature may fall on the other side of a limit; the likeliest one does not.
 */
const ROUNDS_OTHERWISE: HostName = "Deno";

/** Each outcome against the worker's of the same request, and a refusal against what the table says. */
export function compare(results: Result[]): {
  differences: Difference[];
  /** host → group → [passed, total], over all forms. */
  counts: Map<string, Map<string, [number, number]>>;
} {
  const reference = new Map(
    results
      .filter(({ host, form }) => host === "worker" && form === "whole")
      .map(({ request, outcome }) => [request.id, outcome]),
  );
  const differences: Difference[] = [];
  const counts = new Map<string, Map<string, [number, number]>>();
  for (const { host, form, request, outcome } of results) {
    const { id, group, refused, params } = request;
    const named = !form.startsWith("v1");
    const expected: unknown = refused
      ? { choices: [], usage: null, error: { ...refused, name: named ? refused.name : null } }
      : reference.get(id);
    const passed =
      JSON.stringify(outcome) === JSON.stringify(sorted(expected as Outcome)) &&
      (refused !== undefined || outcome.error === null);
    const rounding = host === ROUNDS_OTHERWISE && !refused && params["temperature"] !== 0;
    if (!passed) differences.push({ id, host, rounding, form, expected, outcome });
    const groups = counts.get(host) ?? new Map<string, [number, number]>();
    counts.set(host, groups);
    const [good, of] = groups.get(group) ?? [0, 0];
    groups.set(group, [good + (passed ? 1 : 0), of + 1]);
  }
  return { differences, counts };
}

/** With the fields in the order in which outcomes have them. */
const sorted = ({ choices, usage, error }: Outcome): Outcome => ({
  choices,
  usage,
  error: error && { name: error.name, param: error.param },
});
