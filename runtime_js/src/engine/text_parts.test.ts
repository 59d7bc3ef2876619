import { expect, test } from "vitest";
import type { PackManifest } from "../generated/pack.js";
import type { PackSource } from "../store/pack_source.js";
import { readDefaults } from "./text_parts.js";

test.each([
  [undefined, {}],
  [{ do_sample: true, top_p: 0.9 }, { top_p: 0.9 }],
  [{ do_sample: false, temperature: 0.6 }, { temperature: 0 }],
  [
    { temperature: 0.6, repetition_penalty: 1.1 },
    { temperature: 0.6, repetition_penalty: 1.1 },
  ],
  [{ eos_token_id: [1, 2] }, { eos_token_id: [1, 2] }],
])("a generation_config.json of %j gives %j", async (given, expected) => {
  const file = { path: "generation_config.json", role: "generation_config" };
  const manifest = { files: given ? [file] : [] } as unknown as PackManifest;
  const bytes = new TextEncoder().encode(JSON.stringify(given));
  const source = { read: async () => bytes } as unknown as PackSource;
  expect(await readDefaults(source, manifest)).toEqual(expected);
});
