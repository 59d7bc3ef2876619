/** The types are the `openai` package's: whoever has code for one has code for the other. Checked by the compiler. */
import type OpenAI from "openai";
import { expectTypeOf, test } from "vitest";
import type { CHAT_PARAMETERS, EXTENSIONS, TEXT_PARAMETERS } from "./parameters.js";
import type * as text from "./text_types.js";
import type * as ours from "./types.js";

type Theirs = OpenAI.Chat.Completions.ChatCompletion;
type TheirChunk = OpenAI.Chat.Completions.ChatCompletionChunk;
type TheirParams = OpenAI.Chat.Completions.ChatCompletionCreateParams;

test("answers and chunks can be used where OpenAI's are expected", () => {
  expectTypeOf<ours.ChatCompletion>().toExtend<Theirs>();
  expectTypeOf<ours.ChatCompletionChunk>().toExtend<TheirChunk>();
});

test("requests can be written for both, but for the one key that is ours", () => {
  type Request = Omit<ours.ChatCompletionCreateParamsNonStreaming, "webbuild"> & { model: string };
  expectTypeOf<Request>().toExtend<TheirParams>();
  expectTypeOf<ours.ChatCompletionMessageParam>().toExtend<OpenAI.Chat.Completions.ChatCompletionMessageParam>();
});

test("text completions and models likewise", () => {
  expectTypeOf<text.Completion>().toExtend<OpenAI.Completions.Completion>();
  expectTypeOf<text.Model>().toExtend<OpenAI.Models.Model>();
  type Request = Omit<text.CompletionCreateParamsNonStreaming, "webbuild"> & { model: string };
  expectTypeOf<Request>().toExtend<OpenAI.Completions.CompletionCreateParamsNonStreaming>();
});

test("what becomes of a parameter is said of each that the package has, and of no other", () => {
  type Params = OpenAI.Chat.Completions.ChatCompletionCreateParams;
  expectTypeOf<keyof typeof CHAT_PARAMETERS>().toEqualTypeOf<keyof Params>();
  type TextParams = OpenAI.Completions.CompletionCreateParams;
  expectTypeOf<keyof typeof TEXT_PARAMETERS>().toEqualTypeOf<keyof TextParams>();
  expectTypeOf<(typeof EXTENSIONS)[number]>().toEqualTypeOf<keyof ours.WebbuildParams>();
});
