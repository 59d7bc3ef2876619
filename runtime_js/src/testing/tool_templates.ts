/** Chat templates in the shapes of many families, each written for these tests, and calls as models of that family write them. */
import type { ToolSpec } from "../text/tools.js";

/** Tools first, then turns; `turn` prints an assistant's calls. */
const chat = (turn: string, extra = "") =>
  `{% if tools %}<sys>{{ tools | tojson }}</sys>{% endif %}{% for m in messages %}<{{ m.role }}>${extra}` +
  `{% if m.content %}{{ m.content }}{% endif %}{% if m.tool_calls %}${turn}{% endif %}</{{ m.role }}>{% endfor %}<assistant>`;
/** As `chat`, for each call. */
const each = (call: string, between = "") =>
  chat(
    `{% for c in m.tool_calls %}${call}${between && `{{ ${JSON.stringify(between)} if not loop.last }}`}{% endfor %}`,
  );
const OBJECT =
  '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}';
const python = (quote: string) =>
  "{{ c.function.name }}({% for k, v in c.function.arguments.items() %}{{ k }}=" +
  `{% if v is string %}${quote}{{ v }}${quote}{% else %}{{ v }}{% endif %}{{ ", " if not loop.last }}{% endfor %})`;
const DEEPSEEK_ITEM =
  "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ c.function.name }}\n```json\n{{ c.function.arguments }}\n```<｜tool▁call▁end｜>";

export interface ToolTemplate {
  template: string;
  /** The text of two calls, get_weather of Paris and set-light without arguments. */
  text: string;
  single?: boolean;
}

/** By the format's name. */
export const TOOL_TEMPLATES: Record<string, ToolTemplate> = {
  hermes: {
    template: each(`<tool_call>\n${OBJECT}\n</tool_call>`, "\n"),
    text:
      '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n' +
      '<tool_call>\n{"name": "set-light", "arguments": {}}\n</tool_call>',
  },
  qwen_xml: {
    template: each(
      "<tool_call>\n<function={{ c.function.name }}>\n" +
        "{% for k, v in c.function.arguments.items() %}<parameter={{ k }}>\n{{ v }}\n</parameter>{{ '\\n' }}{% endfor %}" +
        "</function>\n</tool_call>",
      "\n",
    ),
    text:
      "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>\n" +
      "<tool_call>\n<function=set-light>\n</function>\n</tool_call>",
  },
  glm: {
    template: each(
      "<tool_call>{{ c.function.name }}\n{% for k, v in c.function.arguments.items() %}" +
        "<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v }}</arg_value>{{ '\\n' }}{% endfor %}</tool_call>",
      "\n",
    ),
    text:
      "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>\n" +
      "<tool_call>set-light\n</tool_call>",
  },
  functionary: {
    template: each(
      "<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>",
    ),
    text: '<function=get_weather>{"city": "Paris"}</function><function=set-light>{}</function>',
  },
  functionary_v3_2: {
    template:
      "{% if tools %}<sys>{{ tools | tojson }}</sys>{% endif %}{% for m in messages %}<{{ m.role }}>" +
      "{% if m.role == 'assistant' %}{% if m.content %}{{ '>>>all\\n' + m.content }}{% endif %}{% for c in m.tool_calls or [] %}" +
      "{{ '>>>' + c.function.name + '\\n' + c.function.arguments }}{% endfor %}{% else %}{{ m.content }}{% endif %}" +
      "</{{ m.role }}>{% endfor %}<assistant>>>>",
    text: '>>>get_weather\n{"city": "Paris"}>>>set-light\n{}',
  },
  harmony: {
    template:
      "{% if tools %}<|start|>developer<|message|>{{ tools | tojson }}<|end|>{% endif %}{% for m in messages %}" +
      "{% if m.tool_calls %}{% set c = m.tool_calls[0].function %}" +
      "{% if m.content and m.thinking %}{{ raise_exception('not both') }}{% endif %}" +
      "{% if m.content or m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.content or m.thinking }}<|end|>{% endif %}" +
      "<|start|>assistant to=functions.{{ c.name }}<|channel|>commentary json<|message|>{{ c.arguments | tojson }}<|call|>" +
      "{% elif m.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>" +
      "{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}<|start|>assistant",
    text: '<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}',
    single: true,
  },
  llama: {
    template: chat(
      "{% if m.tool_calls | length != 1 %}{{ raise_exception('single calls only') }}{% endif %}" +
        '{"name": "{{ m.tool_calls[0].function.name }}", "parameters": {{ m.tool_calls[0].function.arguments | tojson }}}',
      "<|start_header_id|>",
    ),
    text: '{"name": "get_weather", "parameters": {"city": "Paris"}}',
    single: true,
  },
  mistral: {
    template: chat(
      "{% for c in m.tool_calls %}{% if c.id | length != 9 %}{{ raise_exception('nine letters') }}{% endif %}" +
        '{% if loop.first %}[TOOL_CALLS] [{% endif %}{"name": "{{ c.function.name }}", "arguments": ' +
        '{{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}{{ ", " if not loop.last else "]" }}{% endfor %}',
    ),
    text: '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "ID"}, {"name": "set-light", "arguments": {}, "id": "ID"}]',
  },
  mistral_args: {
    template: each("[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}"),
    text: '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]set-light[ARGS]{}',
  },
  phi: {
    template: chat(
      `<|tool_call|>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]<|/tool_call|>`,
    ),
    text: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]<|/tool_call|>',
  },
  granite: {
    template: chat(
      `<|tool_call|>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]`,
    ),
    text: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]',
  },
  command: {
    template: chat(
      "<|START_ACTION|>[\n{% for c in m.tool_calls %}" +
        '    {"tool_call_id": "{{ loop.index0 }}", "tool_name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }}}' +
        '{{ ",\n" if not loop.last else "\n" }}{% endfor %}]<|END_ACTION|>',
    ),
    text: '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris"}},\n    {"tool_call_id": "1", "tool_name": "set-light", "parameters": {}}\n]<|END_ACTION|>',
  },
  deepseek: {
    template: chat(
      `<｜tool▁calls▁begin｜>{% for c in m.tool_calls %}${DEEPSEEK_ITEM}{{ "\n" if not loop.last }}{% endfor %}<｜tool▁calls▁end｜>`,
    ),
    text:
      '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜>\n' +
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>set-light\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
  },
  deepseek_v3_1: {
    template: chat(
      "<｜tool▁calls▁begin｜>{% for c in m.tool_calls %}<｜tool▁call▁begin｜>{{ c.function.name }}<｜tool▁sep｜>" +
        "{{ c.function.arguments }}<｜tool▁call▁end｜>{% endfor %}<｜tool▁calls▁end｜>",
    ),
    text: '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>set-light<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
  },
  kimi: {
    template: chat(
      "<|tool_calls_section_begin|>{% for c in m.tool_calls %}<|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>" +
        "{{ c.function.arguments | tojson }}<|tool_call_end|>{% endfor %}<|tool_calls_section_end|>",
    ),
    text: '<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Paris"}<|tool_call_end|><|tool_call_begin|>functions.set-light:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
  },
  lfm: {
    template: chat(
      `<|tool_call_start|>[{% for c in m.tool_calls %}${python("'")}{{ ", " if not loop.last }}{% endfor %}]<|tool_call_end|>`,
    ),
    text: "<|tool_call_start|>[get_weather(city='Paris'), set-light()]<|tool_call_end|>",
  },
  olmo: {
    template: chat(
      `<function_calls>\n{% for c in m.tool_calls %}${python("'")}{{ "\n" }}{% endfor %}</function_calls>`,
    ),
    text: "<function_calls>\nget_weather(city='Paris')\nset-light()\n</function_calls>",
  },
  python: {
    template: chat(
      `[{% for c in m.tool_calls %}${python('"')}{{ ", " if not loop.last }}{% endfor %}]`,
      "<|header_start|>",
    ),
    text: '[get_weather(city="Paris"), set-light()]',
  },
  lfm_json: {
    template: chat(
      `<|tool_call_start|>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]<|tool_call_end|>`,
    ),
    text: '<|tool_call_start|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]<|tool_call_end|>',
  },
  nemotron: {
    template: chat(
      `<TOOLCALL>[{% for c in m.tool_calls %}${OBJECT}{{ ", " if not loop.last }}{% endfor %}]</TOOLCALL>`,
    ),
    text: '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Paris"}}, {"name": "set-light", "arguments": {}}]</TOOLCALL>',
  },
  tool_code: {
    template: chat(
      `\`\`\`tool_code\n{% for c in m.tool_calls %}${python('"')}{{ "\n" }}{% endfor %}\`\`\``,
    ),
    text: '```tool_code\nget_weather(city="Paris")\nset-light()\n```',
  },
  tool_code_json: {
    template: each(`\`\`\`tool_code\n${OBJECT}\n\`\`\``, "\n"),
    text: '```tool_code\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n```\n```tool_code\n{"name": "set-light", "arguments": {}}\n```',
  },
  json: {
    template: each(OBJECT, "\n"),
    text: '{"name": "get_weather", "arguments": {"city": "Paris"}}\n{"name": "set-light", "arguments": {}}',
  },
};

export const TOOLS: ToolSpec[] = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  },
  { type: "function", function: { name: "set-light" } },
];
