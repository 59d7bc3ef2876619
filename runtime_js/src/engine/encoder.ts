/** An encoder on a GPU: everything made at load, and the one verb `step`, of texts that share nothing. */
import type { EmbeddingInfo } from "../generated/pack.js";
import type { Tier } from "../generated/program.js";
import type { Device } from "../gpu/device.js";
import { allocate, type Memory } from "../gpu/memory.js";
import { Player } from "../gpu/player.js";
import { ReadbackRing, RING_DEPTH } from "../gpu/readback.js";
import type { Symbols } from "../gpu/sizes.js";
import type { Model } from "../program/check.js";
import { Functions } from "./functions.js";

const EMBED = "embed";

export type Pooling = EmbeddingInfo["pooling"];

/** A text of a step. */
export interface EncodedText {
  tokens: Int32Array;
  pooling: Pooling;
}

export class Encoder {
  /** Most tokens, and most texts, of a step. */
  readonly tokens: number;
  readonly texts: number;
  readonly #env: number[];

  private constructor(
    readonly gpu: Device,
    private readonly memory: Memory,
    private readonly symbols: Symbols,
    private readonly functions: Functions,
    private readonly player: Player,
    private readonly ring: ReadbackRing,
    private readonly width: number,
    private readonly firstPosition: number,
  ) {
    const most = (name: string) => symbols.maxima[symbols.index.get(name) as number] as number;
    this.tokens = most("tokens");
    this.texts = most("seqs");
    this.#env = [...symbols.maxima];
  }

  /**
   * Allocates memory and starts to compile; the weights are still to be written.
   *
   * @param width of a vector
   * @returns the memory at once, and `ready` when the kernels are compiled
   */
  static async create(
    gpu: Device,
    model: Model,
    tier: Tier,
    symbols: Symbols,
    width: number,
    { first_position: first }: EmbeddingInfo,
  ): Promise<{ memory: Memory; ready: Promise<Encoder> }> {
    const pipelines = Functions.compileFirst(gpu.device, model, tier, [EMBED]);
    const { memory, allocated } = allocate(gpu.device, model.program, tier, symbols);
    allocated.catch(() => {}); // awaited below, unless the program is refused first
    const player = new Player(gpu.device, memory, symbols, gpu.counters);
    const functions = new Functions(pipelines, tier, [EMBED], player);
    const ready = functions.prepareFirst().then(() => {
      const texts = symbols.maxima[symbols.index.get("seqs") as number] as number;
      const ring = new ReadbackRing(gpu.device, RING_DEPTH, texts * width * 4);
      return new Encoder(gpu, memory, symbols, functions, player, ring, width, first);
    });
    ready.catch(() => {}); // awaited after the weights; a failure before that is not lost
    await allocated;
    return { memory, ready };
  }

  /** Launches of each function. */
  launches(): Record<string, number> {
    return this.functions.launches();
  }

  /**
   * Submits one step; at most {@link RING_DEPTH} may be under way.
   *
   * @returns f32[texts, width]: the texts' vectors, not scaled
   * @throws DeviceError, DeviceLostError · RangeError when the texts are more than a step holds
   */
  async step(texts: readonly EncodedText[]): Promise<Float32Array> {
    const tokens = texts.reduce((sum, text) => sum + text.tokens.length, 0);
    if (tokens > this.tokens || texts.length > this.texts) {
      throw new RangeError(`a step of ${texts.length} texts and ${tokens} tokens`);
    }
    const { failed } = this.gpu;
    try {
      const missing = this.functions.missingFor([EMBED], { tokens, seqs: texts.length, outs: 0 });
      if (missing.length > 0) await Promise.race([this.functions.prepare(missing), failed]);
      const words = await Promise.race([this.#submit(texts, tokens), failed]);
      return new Float32Array(words.buffer);
    } catch (error) {
      throw await this.gpu.cause(error);
    }
  }

  #submit(texts: readonly EncodedText[], tokens: number): Promise<Uint32Array> {
    const { block, buffers } = this.memory;
    const [ids, positions, seq, ranges] = ["token_ids", "positions", "token_seq", "texts"].map(
      (name) => block.i32(name) as Int32Array,
    ) as [Int32Array, Int32Array, Int32Array, Int32Array];
    let first = 0;
    texts.forEach(({ tokens, pooling }, i) => {
      const end = first + tokens.length;
      ids.set(tokens, first);
      for (let row = first; row < end; row++) {
        positions[row] = this.firstPosition + row - first;
        seq[row] = i;
      }
      // The rows that the text's tokens attend to, and those whose mean is its vector.
      const from = pooling === "last" ? end - 1 : first;
      ranges.set([first, end, from, pooling === "cls" ? first + 1 : end], 4 * i);
      first = end;
    });
    const { index } = this.symbols;
    const env = this.#env;
    env[index.get("tokens") as number] = tokens;
    env[index.get("seqs") as number] = texts.length;
    const source = buffers.get("embeddings") as GPUBuffer;
    const bytes = texts.length * this.width * 4;
    const readback = { ring: this.ring, source, bytes };
    const embed = [this.functions.get(EMBED)];
    return this.player.run(embed, env, readback) as Promise<Uint32Array>;
  }

  /** Runs every kernel of a step once, so that a driver compiles now what it would compile late. */
  async warmUp(): Promise<void> {
    await this.step([{ tokens: new Int32Array(1), pooling: "mean" }]);
  }
}
