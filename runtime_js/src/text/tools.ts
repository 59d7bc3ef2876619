/** Tools as requests give them, and calls as answers make them: OpenAI's shapes, which chat templates take as they are. */

export interface ToolSpec {
  type: "function";
  function: {
    name: string;
    description?: string;
    /** JSON Schema of the arguments object; absent: there are none. */
    parameters?: Record<string, unknown>;
    /** false: arguments are any JSON object, of whatever members. */
    strict?: boolean;
  };
}

/** `none`: no call; `required`: at least one. `only`: of these functions. `single`: not more than one call. */
export interface ToolChoice {
  mode: "auto" | "none" | "required";
  only?: readonly string[];
  single?: boolean;
}

/** A piece of a call: the first of each `index` has `id` and `name`; `arguments` of all are the JSON text. */
export interface ToolCallDelta {
  index: number;
  id?: string;
  name?: string;
  arguments: string;
}

/** An id as OpenAI's are. */
export function callId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  const random = crypto.getRandomValues(new Uint8Array(24));
  return `call_${Array.from(random, (byte) => letters[byte % letters.length]).join("")}`;
}
