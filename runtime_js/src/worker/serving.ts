/** What a loaded engine does for its page and for the engines that it is linked with. */
import type { PrepRecvResult } from "../engine/kv_exchange.js";
import type { LanguageModel } from "../engine/language_model.js";
import { KvRefused } from "../errors.js";
import { Hub } from "../peer/hub.js";
import { sendPieces } from "../peer/pieces.js";
import { DeltaBatch } from "./delta_batch.js";
import type { Context, Handlers } from "./dispatch.js";
import type { ForwardedCall, RemoteSendRequest, ServingMethods } from "./protocol.js";

/** Milliseconds that the other engine has to begin or to end a transfer. */
const ACKNOWLEDGE_MS = 30_000;

export class Serving {
  readonly hub: Hub;

  private constructor(
    private readonly model: LanguageModel,
    kv: string,
    private readonly fingerprint: string,
  ) {
    const { id, model: about } = model.info();
    const { reservations } = model.exchange;
    this.hub = new Hub(
      { engine: id, model: about.name, kv },
      (owner) => ({
        ...this.handlers(owner),
        kvOpen(transfer) {
          reservations.open(transfer, owner);
          return null;
        },
        kvPut(piece) {
          reservations.put(piece);
          return null;
        },
        kvDone(transfer) {
          reservations.finish(transfer, owner);
          return null;
        },
        kvDrop: (transfer) => this.#drop(transfer, "its sender gave up"),
      }),
      (owner) => reservations.dropOwned(owner),
    );
  }

  static async of(model: LanguageModel): Promise<Serving> {
    return new Serving(model, await model.kvKind(), await model.fingerprint());
  }

  /** @param owner stands for whoever calls: when it goes, what was reserved for it goes too */
  handlers(owner: object): Handlers<ServingMethods> {
    const { model, fingerprint } = this;
    return {
      async generate(request, { signal, emit }) {
        const batch = new DeltaBatch((deltas) => emit({ kind: "deltas", deltas }));
        try {
          return await model.generate(
            request,
            {
              accepted: (promptTokens) => emit({ kind: "accepted", promptTokens, fingerprint }),
              delta: (delta) => batch.add(delta),
            },
            signal,
          );
        } finally {
          batch.flush();
        }
      },
      prepRecv: async ({ prompt, ...request }, { signal }) => {
        const tokens = model.prompts.tokens(prompt);
        const result = await model.exchange.prepRecv(tokens, request, { owner, signal });
        // Whoever has given up does not read the answer.
        if (signal.aborted && result.kvAddr) this.#drop(result.kvAddr.transfer, "it was aborted");
        return result;
      },
      remoteSend: (request, { signal }) => this.#remoteSend(request, signal),
      cancelRecv: (transfer) => this.#drop(transfer, "it was cancelled"),
      stats: () => model.stats(),
      detokenize: (ids) => model.detokenize(ids),
    };
  }

  #drop(transfer: string, why: string): null {
    this.model.exchange.reservations.drop(transfer, why);
    return null;
  }

  /** Has another engine do what a page asks it for. */
  forward({ engine, method, args }: ForwardedCall, context: Context<unknown>): Promise<unknown> {
    const { call } = this.hub.get(engine);
    const { signal, emit: onEvent } = context;
    // The address in an answer that nobody waits for any more would hold its room until it expires.
    const late = (result: unknown) => {
      const address = method === "prepRecv" && (result as PrepRecvResult).kvAddr;
      if (address) call.cancelRecv(address.transfer).catch(() => {});
    };
    return call[method](args as never, { signal, onEvent, late });
  }

  async #remoteSend(request: RemoteSendRequest, signal: AbortSignal): Promise<null> {
    const { kvAddr, to } = request;
    const { exchange } = this.model;
    const peer = this.hub.get(to);
    const { transfer } = kvAddr;
    try {
      if (peer.card.kv !== this.hub.card.kv) {
        throw new KvRefused(
          `${peer.card.model} there and ${this.hub.card.model} here are not one pack in one tier`,
          { engine: to },
        );
      }
      const prompt = this.model.prompts.tokens(request.prompt);
      const part = exchange.part(prompt, kvAddr, request);
      const options = { signal, timeoutMs: ACKNOWLEDGE_MS };
      await peer.call.kvOpen(transfer, options); // nothing is computed for an address that is gone
      await sendPieces(
        exchange.pieces(prompt, part, signal),
        ({ page, bytes }, signal) =>
          peer.call.kvPut(
            { transfer, page, bytes },
            { signal, transfer: [bytes.buffer as ArrayBuffer] },
          ),
        signal,
      );
      await peer.call.kvDone(transfer, options);
      return null;
    } catch (error) {
      peer.call.kvDrop(transfer).catch(() => {}); // gone with its link, if that is what failed
      throw error;
    }
  }
}
