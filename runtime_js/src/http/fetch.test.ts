/** OpenAI's API as a function, asked by the unmodified `openai` client, on a real device. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI, {
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
} from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as errors from "../errors.js";
import { DeviceLostError, Engine } from "../index.js";
import { dawn } from "../testing/host.js";
import { tinyPack } from "../testing/tiny_pack.js";
import { errorBody } from "./error_body.js";
import { createFetch, type Fetch, serveV1 } from "./index.js";

const messages = [{ role: "user" as const, content: "hi" }];
const ask = { model: "tiny", messages, max_tokens: 8 };

let folder: string;
let engine: Engine;
let fetch: Fetch;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pack-"));
  for (const [name, bytes] of tinyPack(1000)) writeFileSync(join(folder, name), bytes);
  engine = await Engine.load(folder, { worker: false, gpu: await dawn() });
  fetch = createFetch(engine);
});

afterAll(async () => {
  await engine.unload();
  rmSync(folder, { recursive: true });
});

const clientOf = (through: Fetch, apiKey = "none") =>
  new OpenAI({ baseURL: "http://page/v1", apiKey, fetch: through, maxRetries: 0 });

/** What it rejects with. */
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail("it did not reject"),
    (error: unknown) => error,
  );

const post = (path: string, body: string, through = fetch) =>
  through(path, { method: "POST", body, headers: { "content-type": "application/json" } });

/** Once nothing runs any more. */
async function idle(): Promise<void> {
  await expect.poll(async () => (await engine.stats()).running, { interval: 5 }).toBe(0);
}

describe("the openai client", () => {
  test("has an answer, and its request's id", async () => {
    const direct = await engine.chat.completions.create({ messages, max_tokens: 8 });
    const { data, request_id } = await clientOf(fetch).chat.completions.create(ask).withResponse();
    expect(data.choices).toEqual(direct.choices);
    expect(data.usage).toMatchObject({ prompt_tokens: 10, completion_tokens: 8 });
    expect(request_id).toMatch(/^req_[0-9a-f]{32}$/);
  });

  test("streams the same text, with the usage last", async () => {
    const whole = await clientOf(fetch).chat.completions.create(ask);
    const stream = await clientOf(fetch).chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    const usages = [];
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? "";
      usages.push(usage);
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(usages.at(-1)).toMatchObject({ completion_tokens: 8 });
    expect(usages.slice(0, -1).every((usage) => usage === null)).toBe(true);
  });

  test("completes a text, whole and in pieces", async () => {
    const { completions } = clientOf(fetch);
    const params = { model: "tiny", prompt: "hi", max_tokens: 6 };
    const { choices, object } = await completions.create(params);
    expect(object).toBe("text_completion");
    let text = "";
    for await (const { choices } of await completions.create({ ...params, stream: true })) {
      text += choices[0]?.text ?? "";
    }
    expect(text).toBe(choices[0]?.text);
    expect(text).not.toBe("");
  });

  test("leaves a stream, and the generation ends", async () => {
    const stream = await clientOf(fetch).chat.completions.create({
      ...ask,
      max_tokens: 900,
      stream: true,
    });
    for await (const { choices } of stream) if (choices[0]?.delta.content) break;
    await idle();
    expect(stream.controller.signal.aborted).toBe(true);
  });

  test("aborts an answer that it waits for, and the generation ends", async () => {
    const controller = new AbortController();
    const answer = failure(
      clientOf(fetch).chat.completions.create(
        { ...ask, max_tokens: 900 },
        { signal: controller.signal },
      ),
    );
    await expect.poll(async () => (await engine.stats()).running, { interval: 2 }).toBe(1);
    controller.abort();
    expect(await answer).toBeInstanceOf(APIUserAbortError);
    await idle();
  });

  test("lists models and finds one by its name", async () => {
    const { data } = await clientOf(fetch).models.list();
    const [model] = data;
    expect(data).toHaveLength(1);
    expect(model).toMatchObject({ id: "tiny", object: "model", owned_by: "webbuild" });
    expect(await clientOf(fetch).models.retrieve("tiny")).toEqual(model);
    expect(await failure(clientOf(fetch).models.retrieve("gpt-4o"))).toBeInstanceOf(NotFoundError);
  });

  test("has its own errors for ours", async () => {
    const { completions } = clientOf(fetch).chat;
    const refused = await failure(completions.create({ ...ask, temperature: 3 }));
    expect(refused).toBeInstanceOf(BadRequestError);
    expect(refused).toMatchObject({ status: 400, type: "invalid_request_error", code: null });
    expect(refused).toMatchObject({ param: "temperature" });
    expect((refused as APIError).requestID).toMatch(/^req_/);

    const content = "long ".repeat(400);
    const long = { ...ask, messages: [{ role: "user" as const, content }] };
    for (const stream of [false, true]) {
      const error = await failure(completions.create({ ...long, stream }));
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ code: "context_length_exceeded" });
    }

    const unknown = await failure(completions.create({ ...ask, model: "gpt-4o" }));
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ code: "model_not_found", param: "model" });
    expect((unknown as Error).message).toContain('"tiny"');
  });

  test("is refused without the key, where there is one", async () => {
    const closed = createFetch(engine, { apiKey: "secret" });
    const refused = await failure(clientOf(closed, "wrong").chat.completions.create(ask));
    expect(refused).toBeInstanceOf(AuthenticationError);
    expect(refused).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect((await closed("/v1/models")).status).toBe(401);
    expect((await clientOf(closed, "secret").models.list()).data).toHaveLength(1);
  });
});

describe("an engine that fails", () => {
  const lost = new DeviceLostError("the GPU went away", { tries: 3 });
  async function* breaksOff() {
    yield { choices: [{ index: 0, delta: { content: "so far" } }] };
    throw lost;
  }
  const create = (params: { stream?: boolean }) =>
    params.stream ? Promise.resolve(breaksOff()) : Promise.reject(lost);
  const failing = createFetch({ chat: { completions: { create } } }, { anyModel: true });

  test("before the first byte is a status", async () => {
    const error = await failure(clientOf(failing).chat.completions.create(ask));
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status: 503, type: "server_error", code: "device_lost" });
  });

  test("after it is an event, and the end", async () => {
    const stream = await clientOf(failing).chat.completions.create({ ...ask, stream: true });
    const texts: unknown[] = [];
    const error = await failure(
      (async () => {
        for await (const { choices } of stream) texts.push(choices[0]?.delta.content);
      })(),
    );
    expect(texts).toEqual(["so far"]);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: "device_lost", message: "the GPU went away" });
    const body = await (await post("/v1/chat/completions", '{"stream": true}', failing)).text();
    expect(body.split("\n\n").map((event) => event.split("\n")[0])).toEqual([
      'data: {"choices":[{"index":0,"delta":{"content":"so far"}}]}',
      "event: error",
      "",
    ]);
  });
});

test("every class of error is told as docs/http.md says", () => {
  const docs = readFileSync(new URL("../../../docs/http.md", import.meta.url), "utf8");
  const rows = new Map<string, [number, string, string | null]>();
  for (const [, names = "", status, type = "", code] of docs.matchAll(
    /^\| (.+) \| (\d+) \| `(\w+)` \| (?:`(\w+)`)? ?\|$/gm,
  )) {
    for (const name of names.split(", ")) {
      rows.set(name.replaceAll("`", ""), [Number(status), type, code ?? null]);
    }
  }
  expect(rows.size).toBe(14);
  const classes = Object.values(errors).filter(
    (c): c is typeof errors.WebbuildError => "className" in c,
  );
  for (const Class of classes) {
    let named: typeof errors.WebbuildError = Class;
    while (named.className && !rows.has(named.className)) named = Object.getPrototypeOf(named);
    const { status, body } = errorBody(new Class("why", { param: "n" }));
    const { type, code } = body.error;
    expect([status, type, code], Class.className).toEqual(rows.get(named.className || "any other"));
    expect(body.error).toMatchObject({ message: "why", param: "n" });
  }
  expect(errorBody("?")).toMatchObject({ status: 500, body: { error: { message: "?" } } });
});

describe("requests", () => {
  test.each([
    ["no JSON", "{", 400, "invalid_json"],
    ["no object", "[]", 400, "invalid_json"],
    ["too large", JSON.stringify({ user: "x".repeat(1000) }), 413, "request_too_large"],
  ])("with a body that is %s are refused", async (_, body, status, code) => {
    const response = await post(
      "/v1/chat/completions",
      body,
      createFetch(engine, { maxBodyBytes: 500 }),
    );
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      error: { type: "invalid_request_error", code, param: null },
    });
  });

  test.each([
    ["GET", "/v1/chat/completions", 405, "method_not_supported"],
    ["POST", "/v1/models", 405, "method_not_supported"],
    ["POST", "/v1/images/generations", 404, "unknown_url"],
    ["POST", "/v2/chat/completions", 404, "unknown_url"],
    ["POST", "/v1/toString", 404, "unknown_url"],
    ["GET", "/v1/models/%", 404, "model_not_found"],
  ])("%s %s is %i", async (method, path, status, code) => {
    const response = await fetch(path, { method, ...(method === "POST" ? { body: "{}" } : {}) });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  test("go to the engine of their model, or to the first when any name will do", async () => {
    const named = (name: string) => ({
      chat: { completions: { create: async () => ({ from: name }) } },
    });
    const several = { a: named("a"), b: named("b") };
    const from = async (through: Fetch, body: object) =>
      (await post("/v1/chat/completions", JSON.stringify(body), through)).json();
    const strict = createFetch(several);
    expect(await from(strict, { model: "b" })).toEqual({ from: "b" });
    expect(await from(strict, {})).toMatchObject({ error: { param: "model" } });
    expect(await from(strict, { model: "c" })).toMatchObject({
      error: { code: "model_not_found" },
    });
    const open = createFetch(several, { anyModel: true });
    expect(await from(open, { model: "c" })).toEqual({ from: "a" });
    expect(await from(open, {})).toEqual({ from: "a" });
    expect(() => createFetch({})).toThrow(/at least one engine/);
  });

  test("to what an engine has not are 404, and to what it has are answered", async () => {
    const bare = { chat: engine.chat };
    const none = await post("/v1/embeddings", "{}", createFetch(bare));
    expect(none.status).toBe(404);
    async function* events() {
      yield { type: "response.created", sequence_number: 0 };
      yield { type: "response.completed", sequence_number: 1 };
    }
    const more = createFetch({
      ...bare,
      embeddings: { create: async () => ({ object: "list" }) },
      responses: { create: async () => events() },
    });
    expect(await (await post("/v1/embeddings", "{}", more)).json()).toEqual({ object: "list" });
    const streamed = await (await post("/v1/responses", '{"stream":true}', more)).text();
    expect(streamed).toBe(
      'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n' +
        'event: response.completed\ndata: {"type":"response.completed","sequence_number":1}\n\n',
    );
  });

  test("that were aborted before are not made, and cancelled bodies end the generation", async () => {
    const aborted = fetch("/v1/models", { signal: AbortSignal.abort(new Error("no")) });
    await expect(aborted).rejects.toThrow("no");
    const body = JSON.stringify({ ...ask, max_tokens: 900, stream: true });
    const response = await post(
      "/api/chat/completions",
      body,
      createFetch(engine, { path: "api/" }),
    );
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const reader = (response.body as ReadableStream).getReader();
    await reader.read();
    await reader.cancel();
    await idle();
  });
});

test("without service workers a page can't serve, and is told why", async () => {
  await expect(serveV1(engine)).rejects.toBeInstanceOf(errors.ServiceWorkerFailed);
});
