// The conversation: turns, and the one answer that may be streaming.

import { effect, type Signal, signal } from "@preact/signals";
import { tokens } from "./format.js";
import { answerFailed, type LoadedEngine, model } from "./model.js";
import { samplingFields, settings } from "./settings.js";
import { store, stored } from "./stored.js";

export interface AnswerStats {
  promptTokens: number;
  answerTokens: number;
  /** Milliseconds from sending to the first token. */
  firstTokenMs: number;
  /** Tokens per second after the first token; null for answers too short to have a rate. */
  tokensPerSecond: number | null;
}

/** Tokens reach the page several at a time: over fewer than these there is no rate to tell. */
const LEAST_TOKENS = 10;

const ROLES = ["user", "assistant"] as const;
/** `length`: the answer ended at the token limit. */
const STATUSES = ["done", "stopped", "length", "failed", "streaming"] as const;

export interface Turn {
  readonly id: number;
  readonly role: (typeof ROLES)[number];
  readonly text: Signal<string>;
  readonly status: Signal<(typeof STATUSES)[number]>;
  readonly stats: Signal<AnswerStats | null>;
  /** The conversation is longer than the context: its oldest part was left out. */
  readonly shortened: Signal<boolean>;
  readonly error: Signal<string>;
}

/** In this tab, so that it outlives a reload. */
const KEY = "webbuild.conversation";

let nextId = 0;

export const turns = signal<readonly Turn[]>(parseTurns(stored("sessionStorage", KEY)));
addEventListener("pagehide", keep);

export const answering = signal(false);
/** What a screen reader is told; an answer is announced once, whole. */
export const announcement = signal("");

effect(() => {
  const { phase } = model.value;
  if (phase === "asking") announcement.value = "Load this model?";
  if (phase === "loading") announcement.value = "Loading the model";
  if (phase === "ready") announcement.value = "The model is ready";
});

let current: AbortController | null = null;

/** Turns of a stored string; what is no turn ends them. An answer that was streaming was stopped. */
function parseTurns(text: string | null): Turn[] {
  const found: Turn[] = [];
  try {
    for (const { role, status, text: said, error } of JSON.parse(text ?? "[]")) {
      if (!ROLES.includes(role) || !STATUSES.includes(status) || typeof said !== "string") break;
      const one = turn(role, said, status === "streaming" ? "stopped" : status);
      one.error.value = String(error ?? "");
      found.push(one);
    }
  } catch {
    // no list of objects
  }
  return found;
}

function keep(): void {
  const kept = turns.value.map(({ role, status, text, error }) => ({ role, status, text, error }));
  store("sessionStorage", KEY, JSON.stringify(kept)); // a signal is written as its value
}

function turn(role: Turn["role"], text: string, status: Turn["status"]["value"]): Turn {
  return {
    id: nextId++,
    role,
    text: signal(text),
    status: signal(status),
    stats: signal(null),
    shortened: signal(false),
    error: signal(""),
  };
}

/** Asks the model. Does nothing while it isn't ready or still answering. */
export function send(text: string): void {
  if (answering.value || model.value.phase !== "ready" || text.trim() === "") return;
  turns.value = [...turns.value, turn("user", text.trim(), "done")];
  void answer(model.value.engine);
}

/** Draws the last answer again. */
export function regenerate(): void {
  if (answering.value || model.value.phase !== "ready") return;
  if (turns.value.at(-1)?.role === "assistant") turns.value = turns.value.slice(0, -1);
  if (turns.value.length > 0) void answer(model.value.engine);
}

export function stop(): void {
  current?.abort();
}

export function clear(): void {
  stop();
  turns.value = [];
  keep();
  announcement.value = "New conversation";
}

async function answer(engine: LoadedEngine): Promise<void> {
  const controller = new AbortController();
  current = controller;
  answering.value = true;
  announcement.value = "Answering";
  const reply = turn("assistant", "", "streaming");
  const messages = requestMessages();
  turns.value = [...turns.value, reply];

  const show = oncePerFrame(reply.text);
  const started = performance.now();
  let first = 0;
  let last = 0;
  let pieces = 0;
  try {
    const sampling = samplingFields(settings.value);
    const stream = await engine.chat.completions.create(
      {
        messages,
        stream: true,
        stream_options: { include_usage: true },
        ...sampling,
        webbuild: { ...sampling.webbuild, context: { overflow: "slide" } },
      },
      { signal: controller.signal },
    );
    for await (const { choices, usage } of stream) {
      const choice = choices[0];
      if (choice?.delta.content) {
        last = performance.now();
        first ||= last;
        pieces++;
        show.append(choice.delta.content);
      }
      if (choice?.finish_reason) {
        reply.status.value = choice.finish_reason === "length" ? "length" : "done";
      }
      const { dropped_messages = 0, slides = 0 } = usage?.context ?? {};
      reply.shortened.value = dropped_messages + slides > 0;
      const answerTokens = usage?.completion_tokens ?? pieces;
      reply.stats.value = {
        promptTokens: usage?.prompt_tokens ?? 0,
        answerTokens,
        firstTokenMs: first - started,
        tokensPerSecond:
          answerTokens >= LEAST_TOKENS && last > first
            ? ((answerTokens - 1) * 1000) / (last - first)
            : null,
      };
    }
  } catch (error) {
    if (!controller.signal.aborted) {
      reply.status.value = "failed";
      reply.error.value = error instanceof Error ? error.message : String(error);
      answerFailed(error);
    }
  }
  show.flush();
  if (controller.signal.aborted) reply.status.value = "stopped";
  if (reply.status.value === "streaming") reply.status.value = "done";
  current = null;
  answering.value = false;
  keep();
  announcement.value = describe(reply);
}

function requestMessages() {
  const { systemPrompt } = settings.value;
  const said = turns.value.map(({ role, text }) => ({ role, content: text.value }));
  return systemPrompt.trim() === ""
    ? said
    : [{ role: "system" as const, content: systemPrompt }, ...said];
}

function describe(reply: Turn): string {
  switch (reply.status.value) {
    case "failed":
      return `The answer failed: ${reply.error.value}`;
    case "stopped":
      return `Stopped. ${reply.text.value}`;
    case "length":
      return `${reply.text.value} The answer was cut at ${tokens(reply.stats.value?.answerTokens ?? 0)}.`;
    default:
      return reply.text.value;
  }
}

/** Tokens arrive faster than frames: collects them and writes to the signal once per frame. */
function oncePerFrame(target: Signal<string>) {
  let text = target.value;
  let frame = 0;
  const flush = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    target.value = text;
  };
  return {
    append(piece: string) {
      text += piece;
      frame ||= requestAnimationFrame(flush);
    },
    flush,
  };
}
