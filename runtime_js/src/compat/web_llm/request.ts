/** WebLLM's requests as this package's. */
import type { ChatCompletionCreateParamsStreaming } from "../../index.js";
import { InvalidRequestError } from "../../index.js";
import type { RequestDefaults } from "./config.js";
import type { ChatCompletionRequestBase, ResponseFormat } from "./types.js";

/** @throws InvalidRequestError */
export function toRequest(
  request: ChatCompletionRequestBase,
  { slide, repetition_penalty: penalty, ...defaults }: RequestDefaults,
): ChatCompletionCreateParamsStreaming {
  const {
    model: _,
    extra_body,
    response_format,
    repetition_penalty = penalty,
    ignore_eos,
    ...params
  } = request;
  const thinking = extra_body?.enable_thinking;
  const extensions = {
    ...(slide ? { context: { overflow: "slide" } } : {}),
    ...(repetition_penalty == null ? {} : { repetition_penalty }),
    ...(ignore_eos == null ? {} : { ignore_eos }),
    ...(thinking == null ? {} : { template: { enable_thinking: thinking } }),
    ...request.webbuild,
  };
  // WebLLM takes one of the two for 0 when the other is given; so does this package, which has 0 for a default.
  return {
    ...defaults,
    ...params,
    ...(response_format ? { response_format: toFormat(response_format) } : {}),
    ...(Object.keys(extensions).length > 0 ? { webbuild: extensions } : {}),
    stream: true,
    stream_options: { include_usage: true },
  } as ChatCompletionCreateParamsStreaming;
}

/** A schema as text is WebLLM's own; all other forms are this package's too. */
function toFormat(format: ResponseFormat): object {
  const { type, schema, ...rest } = format;
  if (schema === undefined) return format;
  if (type !== "json_object") {
    throw new InvalidRequestError('response_format.schema is for the type "json_object"', {
      param: "response_format.schema",
    });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(schema);
  } catch {
    throw new InvalidRequestError("response_format.schema must be JSON text", {
      param: "response_format.schema",
    });
  }
  return {
    ...rest,
    type: "json_schema",
    json_schema: { name: "schema", schema: parsed, strict: true },
  };
}
