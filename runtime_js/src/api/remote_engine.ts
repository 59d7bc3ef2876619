/** An engine in another tab or on another machine, which an engine of this page is linked with. */
import type { Calls } from "../worker/client.js";
import type { ServingMethods } from "../worker/protocol.js";
import { ServingEngine } from "./serving_engine.js";

/** The calls that a page's own engine makes for it. */
type Through = Pick<Calls, "callPeer" | "disconnectPeer">;

export class RemoteEngine extends ServingEngine {
  constructor(
    private readonly through: Through,
    id: string,
    /** The model's name there. */
    readonly model: string,
  ) {
    const serving = new Proxy({} as Calls<ServingMethods>, {
      get: (_, method) => (args: unknown, options?: object) =>
        through.callPeer({ engine: id, method: method as keyof ServingMethods, args }, options),
    });
    super(serving, id, model);
  }

  /** Ends the link. What is under way over it rejects with PeerLost. */
  async leave(): Promise<void> {
    await this.through.disconnectPeer(this.id);
  }
}
