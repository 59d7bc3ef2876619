/** Requests as messages: whatever is asked, the answer has a status. */
import { describe, expect, test } from "vitest";
import {
  type AnswerMessage,
  type AskMessage,
  serveRequests,
  type WireRequest,
} from "./exchange.js";
import { createFetch } from "./fetch.js";

const engine = { model: "m", chat: { completions: { create: async (given: object) => given } } };

/** What is told of a request, until its end. */
function ask(request: Partial<WireRequest>): Promise<AnswerMessage[]> {
  return new Promise((resolve) => {
    const told: AnswerMessage[] = [];
    let hear: (message: AskMessage) => void = () => {};
    const channel = {
      send(message: AnswerMessage) {
        told.push(message);
        if ("end" in message || "error" in message) resolve(told);
      },
      listen(listener: typeof hear) {
        hear = listener;
      },
    };
    serveRequests(channel, createFetch(engine));
    hear({
      id: 0,
      request: { method: "GET", url: "/v1/models", headers: [], body: "", ...request },
    });
  });
}

const statusOf = (told: AnswerMessage[]) =>
  told.map((message) => ("head" in message ? message.head.status : Object.keys(message)[1]));

describe("serveRequests", () => {
  test("a GET may have a body, which nobody reads", async () => {
    expect(statusOf(await ask({ body: "{}" }))).toEqual([200, "text", "end"]);
  });

  test.each<Partial<WireRequest>>([
    { method: "TRACE" },
    { url: "//" },
    { method: "POST", body: "{}", headers: [["content-type", "\udcff"]] },
    { method: "POST", body: "{}", headers: [["content type", "x"]] },
  ])("what can be no request is refused: %j", async (request) => {
    const told = await ask(request);
    expect(statusOf(told)).toEqual([400, "text", "end"]);
    const [, text] = told as [unknown, { text: string }];
    expect(JSON.parse(text.text).error).toMatchObject({ code: "invalid_request" });
  });
});
