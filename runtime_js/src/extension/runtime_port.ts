/** An extension's port as one of the protocol's. It speaks JSON, in which all calls of pages are but `connectPeer` with a port. */
import { HostUnsupported } from "../errors.js";
import type { Port } from "../worker/protocol.js";
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
      port.postMessage(message);
    },
    addEventListener: (_, listener) => port.onMessage.addListener((data) => listener({ data })),
    close: () => port.disconnect(),
  };
}
