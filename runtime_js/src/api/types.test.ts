/** The types are the `openai` package's: whoever has code for one has code for the other. Checked by the compiler. */
import type OpenAI from "openai";
import { expectTypeOf, test } from "vitest";
import type * as ours from "./types.js";

type Theirs = OpenAI.Chat.Completions.ChatCompletion;
type TheirChunk = OpenAI.Chat.Completions.ChatCompletionChunk;
type TheirParams = OpenAI.Chat.Completions.ChatCompletionCreateParams;

test("answers and chunks can be used where OpenAI's are expected", () => {
  expectTypeOf<ours.ChatCompletion>().toExtend<Theirs>();
  expectTypeOf<ours.ChatCompletionChunk>().toExtend<TheirChunk>();
});

test("requests can be written for both, but for the five parameters that are ours", () => {
  type Ours = "top_k" | "min_p" | "priority" | "speculation" | "context";
  type Request = Omit<ours.ChatCompletionCreateParamsNonStreaming, Ours> & { model: string };
  expectTypeOf<Request>().toExtend<TheirParams>();
  expectTypeOf<ours.ChatCompletionMessageParam>().toExtend<OpenAI.Chat.Completions.ChatCompletionMessageParam>();
});
