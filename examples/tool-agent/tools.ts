import type { ChatCompletionTool } from "webbuild";

/** What the page can do for the model. What is thrown becomes the result that the model gets. */
interface Tool {
  description: string;
  /** A JSON Schema of the arguments; calls are held to it. */
  parameters: Record<string, unknown>;
  run(args: Record<string, string>): unknown;
}

/** An object of one string. */
const text = (name: string) => ({
  type: "object",
  properties: { [name]: { type: "string" } },
  required: [name],
});

/** In place of a weather service. */
const WEATHER: Record<string, { temperature: number; sky: string }> = {
  Paris: { temperature: 21, sky: "sunny" },
  Oslo: { temperature: 4, sky: "snowy" },
  Lima: { temperature: 18, sky: "foggy" },
};

const TOOLS: Record<string, Tool> = {
  get_weather: {
    description: "Get the weather in a city",
    parameters: text("city"),
    run: ({ city = "" }) => WEATHER[city] ?? { status: "error" },
  },
  calculate: {
    description: "Calculate an expression",
    parameters: text("expression"),
    run({ expression = "" }) {
      const [, a, sign, b] = /^(-?\d+) *([-+*/]) *(-?\d+)$/.exec(expression) ?? [];
      const [x, y] = [Number(a), Number(b)];
      if (!sign) throw new Error(`not a sum: ${expression}`);
      return { result: { "+": x + y, "-": x - y, "*": x * y, "/": x / y }[sign] };
    },
  },
  set_colour: {
    description: "Set the colour of the page",
    parameters: text("colour"),
    run({ colour = "" }) {
      if (!CSS.supports("color", colour)) throw new Error(`no such colour: ${colour}`);
      document.body.style.background = colour;
      return { status: "ok" };
    },
  },
};

/** The tools as a request names them. */
export const tools: ChatCompletionTool[] = Object.entries(TOOLS).map(
  ([name, { description, parameters }]) => ({
    type: "function",
    function: { name, description, parameters },
  }),
);

/** Runs a call, as the model wrote it. @returns the result as JSON, or what went wrong */
export async function runTool(name: string, args: string): Promise<string> {
  try {
    const tool = TOOLS[name];
    if (!tool) throw new Error(`no such tool: ${name}`);
    return JSON.stringify(await tool.run(JSON.parse(args)));
  } catch (error) {
    return JSON.stringify({ status: "error", message: (error as Error).message });
  }
}
