/** WebLLM's requests as this package's. */
import type { ChatCompletionCreateParamsStreaming } from "../../index.js";
import { InvalidRequestError } from "../../index.js";
import type { RequestDefaults } from "./config.js";
import type { ChatCompletionRequestBase, ResponseFormat } from "./types.js";

/** @throws InvalidRequestError */
export function toRequest(
  request: ChatCompletionRequestBase,
  { slide, repetition_penalty, ...defaults }: RequestDefaults,
): ChatCompletionCreateParamsStreaming {
  const { model: _, extra_body, response_format, ...params } = withoutExtras(request);
  const thinking = extra_body?.enable_thinking;
  const extensions = {
    ...(thinking == null ? {} : { template: { enable_thinking: thinking } }),
    ...toExtensions(request, { slide, repetition_penalty }),
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

type Extras = Pick<ChatCompletionRequestBase, "repetition_penalty" | "ignore_eos"> & {
  webbuild?: object | null;
};

/** What is the same here. */
export function withoutExtras<T extends Extras>(
  request: T,
): Omit<T, "repetition_penalty" | "ignore_eos"> {
  const { repetition_penalty: _, ignore_eos: __, ...params } = request;
  return params;
}

/** What is under `webbuild` here. */
export function toExtensions(
  { repetition_penalty, ignore_eos, webbuild }: Extras,
  defaults: { slide: true | undefined; repetition_penalty: number | null | undefined },
): object {
  const penalty =
    repetition_penalty === undefined ? defaults.repetition_penalty : repetition_penalty;
  return {
    ...(defaults.slide ? { context: { overflow: "slide" } } : {}),
    ...(penalty == null ? {} : { repetition_penalty: penalty }),
    ...(ignore_eos == null ? {} : { ignore_eos }),
    ...webbuild,
  };
}

/** A schema and a structural tag as text are WebLLM's own; all other forms are this package's too. */
function toFormat(format: ResponseFormat): object {
  const { type, schema, structural_tag: tag, ...rest } = format;
  if (tag !== undefined) {
    const param = "response_format.structural_tag";
    if (type !== "structural_tag")
      throw new InvalidRequestError(`${param} is for the type "structural_tag"`, { param });
    return { ...rest, ...(typeof tag === "string" ? parsed(tag, param) : tag), type };
  }
  if (schema === undefined) return format;
  if (type !== "json_object") {
    throw new InvalidRequestError('response_format.schema is for the type "json_object"', {
      param: "response_format.schema",
    });
  }
  return {
    ...rest,
    type: "json_schema",
    json_schema: { name: "schema", schema: parsed(schema, "response_format.schema"), strict: true },
  };
}

function parsed(text: string, param: string): object {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidRequestError(`${param} must be JSON text`, { param });
  }
}
