import type { Engine } from "webbuild";
import * as z from "zod";

/**
 * What a text says, as a value of the schema. The answer is held to the schema while it is written, so it always parses,
 * unless it is cut off; zod adds the type, and checks what JSON Schema can't say.
 * @throws Error if the answer is cut off
 * @throws ZodError if a refinement of the schema does not hold
 */
export async function extract<T extends z.ZodObject>(
  { chat }: Engine,
  schema: T,
  text: string,
): Promise<z.infer<T>> {
  const fields = new Intl.ListFormat("en-GB").format(Object.keys(schema.shape));
  const { choices } = await chat.completions.create({
    messages: [{ role: "user", content: `Extract ${fields} as JSON: ${text}` }],
    response_format: {
      type: "json_schema",
      json_schema: { name: "extracted", schema: z.toJSONSchema(schema), strict: true },
    },
    temperature: 0,
    max_tokens: 128,
  });
  const [choice] = choices;
  if (choice?.finish_reason !== "stop")
    throw new Error(`The answer ended by ${choice?.finish_reason}`);
  return schema.parse(JSON.parse(choice.message.content ?? ""));
}
