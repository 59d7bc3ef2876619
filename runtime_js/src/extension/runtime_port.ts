/** An extension's port as one of the protocol's. It speaks JSON, in which all calls of pages are but `connectPeer` with a port. */
import { HostUnsupported } from "../errors.js";
import type { Port } from "../worker/protocol.js";
import { pack, unpack } from "./arrays.js";
import type { RuntimePort } from "./chrome.js";

export function protocolPort(port: RuntimePort): Port {
  return {
    postMessage(message, transfer = []) {
      if (transfer.length > 0) {
        throw new HostUnsupported(
          "what is transferred can't cross to an extension's engine: link engines by peers.join",
          { host: "extension" },
        );
      }
      port.postMessage(pack(message));
    },
    addEventListener: (_, listener) =>
      port.onMessage.addListener((data) => listener({ data: unpack(data) })),
    close: () => port.disconnect(),
  };
}
