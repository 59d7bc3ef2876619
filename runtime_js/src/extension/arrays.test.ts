import { expect, test } from "vitest";
import type { RuntimePort } from "./chrome.js";
import { protocolPort } from "./runtime_port.js";

test("what crosses as JSON arrives as it was sent, typed arrays too", () => {
  const listeners: ((message: unknown) => void)[] = [];
  const port = {
    postMessage(message: unknown) {
      for (const listener of listeners) listener(JSON.parse(JSON.stringify(message)));
    },
    onMessage: { addListener: (listener: (message: unknown) => void) => listeners.push(listener) },
    disconnect() {},
  } as unknown as RuntimePort;
  const heard: unknown[] = [];
  const ours = protocolPort(port);
  ours.addEventListener("message", ({ data }) => heard.push(data));
  const sent = [
    { id: 1, result: { vectors: Float32Array.from([1.5, -2, 1e-20]), dimensions: 3, none: null } },
    { id: 2, result: [Int32Array.from([-1]), Uint8Array.from([255]).subarray(0, 1), "text"] },
    // Of a caller's own, such as a schema.
    { id: 3, args: { typed: "Float32Array", base64: 5, properties: { typed: { type: "x" } } } },
    null,
  ];
  for (const message of sent) ours.postMessage(message);
  expect(heard).toEqual(sent);
});
