/**
 * How models write tool calls, as data: one row for each way. All that parses, constrains and checks calls reads these rows,
 * so a new way to write them is a new row.
 */

/** Calls as JSON objects with these keys. Readers take the keys of all rows, in any order. */
export interface JsonCalls {
  kind: "json";
  nameKey: "name" | "tool_name";
  argumentsKey: "arguments" | "parameters";
  /** A key before the name, whose value numbers the calls. */
  numberKey?: string;
}

/** `begin` NAME `after` ARGUMENTS `end`. Readers take any whitespace around these. */
export interface NamedCalls {
  kind: "named";
  begin: string;
  after: string;
  /** Between name and `after`, a number of the call. */
  numbered?: ":";
  arguments: "json" | ArgumentTags;
  end: string;
  /** Another `begin` and `after` that models are seen to write. */
  also?: readonly [begin: string, after: string];
}

/** NAME`(`KEY`=`VALUE`, `…`)`: Python code, with literals for values. Readers take JSON objects in its place. */
export interface PythonCalls {
  kind: "python";
}

/** Each argument is `key` KEY `value` VALUE `end`; strings stand bare, other values are JSON. */
export interface ArgumentTags {
  /** What XGrammar calls it. */
  style: "qwen_xml" | "glm_xml";
  key: string;
  value: string;
  end: string;
}

/**
 * Answers in messages, all of them: `open` HEADER `body` TEXT, again and again. The header tells what the text is: content, thinking,
 * or a call's arguments. The first `open` is a prompt's last text.
 */
export interface Messages {
  body: string;
  /** What may end a text, beside the next `open`. */
  ends: readonly string[];
  /** Headers of content, that of answers first. Those of calls are a call's `begin` and name, and anything. */
  content: readonly string[];
  /** What headers of thinking begin with. */
  reasoning?: string;
}

export interface ToolFormat {
  name: string;
  /** Texts that a chat template, or the special tokens of a model, must have: all of them. */
  marks: readonly string[];
  /** What one call, or several, begin with. Empty: a call is the whole answer, from its first character. */
  open: string;
  /** Other texts for `open` that models are seen to write. */
  also?: readonly string[];
  /** Empty: the answer ends. */
  close: string;
  calls: JsonCalls | NamedCalls | PythonCalls;
  /** Whether a template that does not tell writes the calls into a list. */
  list?: true;
  /** Whether several calls stand between one `open` and `close`, though not in a list. */
  grouped?: true;
  /** Whether nothing comes after a call. */
  single?: true;
  messages?: Messages;
  /** Ids of calls that the template takes: nine letters and digits, or function and number. */
  ids?: "nine" | "numbered";
}

const JSON_CALLS: JsonCalls = { kind: "json", nameKey: "name", argumentsKey: "arguments" };
const JSON_PARAMETERS: JsonCalls = { ...JSON_CALLS, argumentsKey: "parameters" };

/** What a call is where nothing says how the model writes it. */
export const PLAIN_JSON: ToolFormat = {
  name: "json",
  marks: [],
  open: "",
  close: "",
  calls: JSON_CALLS,
};

/** Calls as Python code that nothing announces. */
export const PYTHON: ToolFormat = {
  name: "python", // Llama 4, Llama 3.2 with a template of that kind, ToolACE, Gemma's documentation
  marks: ["func_name1("],
  open: "",
  also: ["<|python_tag|>", "<|python_start|>"],
  close: "",
  list: true,
  calls: { kind: "python" },
};

/** Of those whose marks are all there, the first that a template prints counts, or else the first. Content may stand before the calls of all, and after those with a `close`. */
export const TOOL_FORMATS: readonly ToolFormat[] = [
  {
    name: "kimi",
    marks: ["<|tool_call_argument_begin|>"],
    open: "<|tool_calls_section_begin|>",
    close: "<|tool_calls_section_end|>",
    grouped: true,
    calls: {
      kind: "named",
      begin: "<|tool_call_begin|>functions.",
      after: "<|tool_call_argument_begin|>",
      numbered: ":",
      arguments: "json",
      end: "<|tool_call_end|>",
    },
    ids: "numbered",
  },
  {
    name: "deepseek", // V3, R1
    marks: ["<｜tool▁sep｜>", "```json"],
    open: "<｜tool▁calls▁begin｜>",
    close: "<｜tool▁calls▁end｜>",
    grouped: true,
    calls: {
      kind: "named",
      begin: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
      after: "\n```json\n",
      arguments: "json",
      end: "\n```<｜tool▁call▁end｜>",
    },
  },
  {
    name: "deepseek_v3_1",
    marks: ["<｜tool▁sep｜>"],
    open: "<｜tool▁calls▁begin｜>",
    close: "<｜tool▁calls▁end｜>",
    grouped: true,
    calls: {
      kind: "named",
      begin: "<｜tool▁call▁begin｜>",
      after: "<｜tool▁sep｜>",
      arguments: "json",
      end: "<｜tool▁call▁end｜>",
    },
  },
  {
    name: "harmony", // gpt-oss
    marks: ["<|channel|>", "<|message|>"],
    open: "<|start|>assistant",
    close: "", // <|call|> ends the answer
    single: true,
    calls: {
      kind: "named",
      begin: " to=functions.",
      after: "<|channel|>commentary json<|message|>",
      arguments: "json",
      end: "",
      also: ["<|channel|>commentary to=functions.", " <|constrain|>json<|message|>"],
    },
    messages: {
      body: "<|message|>",
      ends: ["<|end|>", "<|call|>", "<|return|>"],
      content: ["<|channel|>final", "<|channel|>commentary", "<|channel|>final <|constrain|>json"],
      reasoning: "<|channel|>analysis",
    },
  },
  {
    name: "functionary_v3_2",
    marks: [">>>all"],
    open: ">>>",
    close: "",
    calls: { kind: "named", begin: "", after: "\n", arguments: "json", end: "" },
    messages: { body: "\n", ends: [], content: ["all"] },
  },
  {
    name: "glm", // 4.5 and later
    marks: ["<arg_key>", "<tool_call>"],
    open: "<tool_call>",
    close: "</tool_call>",
    calls: {
      kind: "named",
      begin: "",
      after: "\n",
      arguments: {
        style: "glm_xml",
        key: "<arg_key>",
        value: "</arg_key>\n<arg_value>",
        end: "</arg_value>",
      },
      end: "\n",
    },
  },
  {
    name: "qwen_xml", // Qwen3-Coder, Qwen3.5
    marks: ["<tool_call>", "<function=", "<parameter="],
    open: "<tool_call>",
    close: "</tool_call>",
    calls: {
      kind: "named",
      begin: "<function=",
      after: ">\n",
      arguments: { style: "qwen_xml", key: "<parameter=", value: ">\n", end: "\n</parameter>" },
      end: "\n</function>",
    },
  },
  {
    name: "hermes", // Hermes, Qwen2.5, Qwen3, Granite 4, SmolLM3
    marks: ["<tool_call>"],
    open: "<tool_call>",
    close: "</tool_call>",
    calls: JSON_CALLS,
  },
  {
    name: "functionary", // Functionary 3.1, Llama's custom calls
    marks: ["<function="],
    open: "<function=",
    close: "</function>",
    calls: { kind: "named", begin: "", after: ">", arguments: "json", end: "" },
  },
  {
    name: "mistral_args", // Mistral's tokenizer 11 and later
    marks: ["[TOOL_CALLS]", "[ARGS]"],
    open: "[TOOL_CALLS]",
    close: "",
    calls: { kind: "named", begin: "", after: "[ARGS]", arguments: "json", end: "" },
    ids: "nine",
  },
  {
    name: "mistral",
    marks: ["[TOOL_CALLS]"],
    open: "[TOOL_CALLS]",
    close: "",
    list: true,
    calls: JSON_CALLS,
    ids: "nine",
  },
  {
    name: "phi", // Phi-4-mini
    marks: ["<|tool_call|>", "<|/tool_call|>"],
    open: "<|tool_call|>",
    also: ["functools"],
    close: "<|/tool_call|>",
    list: true,
    calls: JSON_CALLS,
  },
  {
    name: "granite", // 3
    marks: ["<|tool_call|>"],
    open: "<|tool_call|>",
    close: "",
    list: true,
    calls: JSON_CALLS,
  },
  {
    name: "command", // Command R7B, Command A
    marks: ["<|START_ACTION|>"],
    open: "<|START_ACTION|>",
    close: "<|END_ACTION|>",
    list: true,
    calls: {
      kind: "json",
      nameKey: "tool_name",
      argumentsKey: "parameters",
      numberKey: "tool_call_id",
    },
  },
  {
    name: "lfm", // LFM2
    marks: ["<|tool_call_start|>"],
    open: "<|tool_call_start|>",
    close: "<|tool_call_end|>",
    list: true,
    calls: { kind: "python" },
  },
  {
    name: "lfm_json", // LFM2 where it is told to write JSON
    marks: ["<|tool_call_start|>"],
    open: "<|tool_call_start|>",
    close: "<|tool_call_end|>",
    list: true,
    calls: JSON_CALLS,
  },
  {
    name: "olmo", // OLMo 3: a call in each line
    marks: ["<function_calls>"],
    open: "<function_calls>",
    close: "</function_calls>",
    grouped: true,
    calls: { kind: "python" },
  },
  {
    name: "nemotron",
    marks: ["<TOOLCALL>"],
    open: "<TOOLCALL>",
    close: "</TOOLCALL>",
    list: true,
    calls: JSON_CALLS,
  },
  {
    name: "functools", // FireFunction, earlier Phi
    marks: ["functools["],
    open: "functools",
    close: "",
    list: true,
    calls: JSON_CALLS,
  },
  {
    name: "tool_code", // Gemma
    marks: ["```tool_code"],
    open: "```tool_code",
    close: "```",
    grouped: true,
    calls: { kind: "python" },
  },
  {
    name: "tool_code_json",
    marks: ["```tool_code"],
    open: "```tool_code",
    close: "```",
    calls: JSON_CALLS,
  },
  PYTHON,
  {
    name: "llama", // Llama 3.1 to 3.3
    marks: ["<|start_header_id|>", "parameters"],
    open: "",
    also: ["<|python_tag|>"],
    close: "",
    calls: JSON_PARAMETERS,
  },
];

/** The texts that tell the parts of an answer apart, and are no content. */
export function markersOf(format: ToolFormat): string[] {
  const { open, also = [], close, calls, messages } = format;
  const inner =
    calls.kind !== "named"
      ? []
      : [
          calls.begin,
          calls.after,
          calls.end,
          ...(calls.also ?? []),
          ...(calls.arguments === "json"
            ? []
            : [calls.arguments.key, calls.arguments.value, calls.arguments.end]),
        ];
  const ends = messages?.ends ?? [];
  return [open, ...also, close, ...inner, ...ends]
    .map((text) => text.trim())
    .filter((text) => text !== "");
}

/** The format of a template whose model answers in messages, be there tools or not. */
export const messagesOf = (template: string): ToolFormat | undefined =>
  TOOL_FORMATS.find(({ messages, marks }) => messages && marks.every((m) => template.includes(m)));
