/** A model on a GPU: everything made at load, and the one verb `step`. */

import type { Tier } from "../generated/program.js";
import type { Device } from "../gpu/device.js";
import { KvPages } from "../gpu/kv_pages.js";
import { allocate, type Memory } from "../gpu/memory.js";
import { type Around, type Encode, Player, type Prepared, type Readback } from "../gpu/player.js";
import { poke } from "../gpu/pokes.js";
import { ReadbackRing, RING_DEPTH } from "../gpu/readback.js";
import type { Symbols } from "../gpu/sizes.js";
import { PagePool } from "../kv/page_pool.js";
import { Sequence } from "../kv/sequence.js";
import type { Model } from "../program/check.js";
import type { Environment } from "../program/expression.js";
import { maskRowWords } from "../program/masks.js";
import { Functions, firstOf, type Rows, SECOND } from "./functions.js";
import type { MaskBuffer } from "./mask_table.js";
import { type BatchRow, Planner } from "./plan.js";
import {
  MASK_ROW_WORD,
  PLAIN,
  SAMPLING_WORDS,
  type SamplingDefaults,
  SamplingRow,
} from "./sampling.js";
import { coresHere, SOFTWARE_PIECE_TOKENS, SOFTWARE_SPLIT_CONTEXT } from "./works.js";

const PLAIN_ONLY = [PLAIN];
const PLAIN_LOGPROBS = [PLAIN, "logprobs"];

/** Words per row of `sampled`. */
export const SAMPLED_WORDS = 64;

export class Executor {
  #functions: Functions;
  /** Pipelines that have run, so that no driver has anything left to compile of them. */
  #warm = new Set<GPUComputePipeline>();
  readonly #player: Player;
  readonly #planner: Planner;
  /** Milliseconds that steps took on the host so far. */
  readonly hostMs = { plan: 0, encode: 0 };
  readonly #first: readonly string[];
  readonly #ring: ReadbackRing;
  readonly #pages: KvPages;
  readonly #pageSize: number;
  /** What may be drawn, as far as draws ask. */
  readonly masks: MaskBuffer;

  private constructor(
    readonly gpu: Device,
    readonly memory: Memory,
    readonly symbols: Symbols,
    private readonly vocab: number,
    parts: {
      first: readonly string[];
      functions: Functions;
      player: Player;
      ring: ReadbackRing;
      pages: KvPages;
      pageSize: number;
    },
  ) {
    this.#first = parts.first;
    this.#functions = parts.functions;
    this.#player = parts.player;
    this.#ring = parts.ring;
    this.#pages = parts.pages;
    this.#pageSize = parts.pageSize;
    const masks = memory.buffers.get("masks") as GPUBuffer;
    this.masks = {
      rows: Math.floor(masks.size / 4 / maskRowWords(vocab)),
      vocab,
      write: (offset, words) => this.#write("masks", 4 * offset, words),
    };
    const canSplit = parts.functions.has("decode_split");
    this.#planner = new Planner(
      memory.block,
      symbols,
      parts.pageSize,
      canSplit,
      ...(gpu.software ? [SOFTWARE_PIECE_TOKENS, coresHere(), SOFTWARE_SPLIT_CONTEXT] : []),
    );
  }

  /**
   * Allocates memory and starts to compile the kernels of a first token; the weights are still to be written.
   *
   * @returns the memory at once, and `ready` when these are compiled
   */
  static async create(
    gpu: Device,
    model: Model,
    tier: Tier,
    symbols: Symbols,
    vocab: number,
    defaults: SamplingDefaults,
  ): Promise<{ memory: Memory; ready: Promise<Executor> }> {
    const first = firstOf(tier, defaults);
    const pipelines = Functions.compileFirst(gpu.device, model, tier, first);
    const { memory, allocated } = allocate(gpu.device, model.program, tier, symbols);
    allocated.catch(() => {}); // awaited below, unless the program is refused first
    const player = new Player(gpu.device, memory, symbols, gpu.counters);
    const functions = new Functions(pipelines, tier, first, player);
    const ready = functions.prepareFirst().then(() => {
      const outs = symbols.maxima[symbols.index.get("outs") as number] as number;
      const ring = new ReadbackRing(gpu.device, RING_DEPTH, outs * SAMPLED_WORDS * 4);
      const pages = new KvPages(gpu.device, memory, tier, symbols);
      const pageSize = model.program.page_size;
      const parts = { first, functions, player, ring, pages, pageSize };
      return new Executor(gpu, memory, symbols, vocab, parts);
    });
    ready.catch(() => {}); // awaited after the weights; a failure before that is not lost
    await allocated;
    return { memory, ready };
  }

  has(name: string): boolean {
    return this.#functions.has(name);
  }

  /** Launches of each function. */
  launches(): Record<string, number> {
    return this.#functions.launches();
  }

  /** What no answer has needed yet and is still to be made ready: see {@link finish}. */
  get unfinished(): readonly string[] {
    return this.#functions.missing;
  }

  /**
   * Starts to compile what is unfinished. On a software adapter only what a second token takes: there the processor that
   * compiles is the one that computes the first answer.
   */
  compileRest(): void {
    this.#functions.begin(this.gpu.software ? SECOND : this.unfinished);
  }

  /** What a step of these rows needs and is not ready: `prepare` it first. */
  missing(batch: readonly BatchRow[], sample: readonly string[]): readonly string[] {
    let tokens = 0;
    let outs = 0;
    for (const row of batch) {
      tokens += row.tokens.length;
      outs += row.outs.length;
    }
    const names = [this.#planner.kindOf(batch), ...this.#samplers(plain(batch), sample)];
    return this.#functions.missingFor(names, { tokens, seqs: batch.length, outs });
  }

  /** The same of draws after any of these functions, as far as there are such. @param plain of all these draws, see {@link SamplingRow} */
  missingOf(kinds: readonly string[], plain: boolean, rows: Rows): readonly string[] {
    const names = kinds.filter((name) => this.has(name));
    return this.#functions.missingFor([...names, ...this.#samplers(plain, ["sample"])], rows);
  }

  /** @throws DeviceError when a kernel does not compile */
  async prepare(...names: string[]): Promise<void> {
    try {
      await Promise.race([this.#functions.prepare(names), this.gpu.failed]);
    } catch (error) {
      throw await this.gpu.cause(error);
    }
  }

  /** The most new tokens a step takes. */
  get chunk(): number {
    return this.#most("tokens");
  }

  /** The most sequences in a step; there are at least as many sampler slots. */
  get maxBatch(): number {
    return Math.min(this.#most("seqs"), this.#most("slots"));
  }

  /** The most draws of a step. */
  get outs(): number {
    return this.#most("outs");
  }

  /** Results whose buffers are in use. */
  get unread(): number {
    return RING_DEPTH - this.#ring.available;
  }

  #most(symbol: string): number {
    return this.symbols.maxima[this.symbols.index.get(symbol) as number] as number;
  }

  /** Sets the additive bias of a sampler slot. */
  writeBias(slot: number, bias: readonly [number, number][]): void {
    const row = new Float32Array(this.vocab);
    for (const [id, value] of bias) row[id] = value;
    this.#write("logit_bias", slot * row.byteLength, row);
  }

  /** Sets which tokens the penalties of a sampler slot see. */
  writeCounts(slot: number, tokens: Int32Array): void {
    const counts = new Uint32Array(this.vocab);
    for (const id of tokens) counts[id] = (counts[id] as number) + 1;
    this.#write("token_counts", slot * counts.byteLength, counts);
  }

  #write(buffer: string, offset: number, data: Uint32Array | Float32Array): void {
    const target = this.memory.buffers.get(buffer) as GPUBuffer;
    this.gpu.device.queue.writeBuffer(
      target,
      offset,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
  }

  /**
   * Submits one step.
   *
   * @param sample what follows the model's own function: nothing, `sample`, or `sample` and `logprobs`; all must be ready
   * @param around what is encoded with it; `unread`: what it draws stays on the GPU
   * @returns a row of `sampled`, 64 words, for each out of the batch, once the GPU has them; undefined when nothing is read
   * @throws RangeError when the batch holds more than a step can
   */
  step(
    batch: readonly BatchRow[],
    sample: readonly string[],
    around: Around & { unread?: boolean } = {},
  ): Promise<Uint32Array> | undefined {
    const began = performance.now();
    const { kind, env, outs } = this.#planner.plan(batch);
    const planned = performance.now();
    const names = outs === 0 ? [kind] : [kind, ...this.#samplers(plain(batch), sample)];
    const reads = names.length > 1 && !around.unread;
    const result = this.#play(names, env, reads ? outs : 0, batch, around);
    this.hostMs.plan += planned - began;
    this.hostMs.encode += performance.now() - planned;
    return result;
  }

  /** See {@link StepRunner.forward}. @throws RangeError when the batch holds more than a step can */
  forward(
    batch: readonly BatchRow[],
    sample: readonly string[],
  ): (rows: ReadonlyMap<number, number>, hurries: boolean) => Promise<Uint32Array> {
    const began = performance.now();
    const { kind, env, outs } = this.#planner.plan(batch);
    const planned = performance.now();
    const own = this.#functions.get(kind);
    const draws = this.#samplers(plain(batch), sample).map((name) => this.#functions.get(name));
    const copies = this.#copies(batch[0]?.sequence.pool);
    this.#player.upload([own, ...draws], env);
    this.#player.submit([own], undefined, { before: copies });
    this.hostMs.plan += planned - began;
    this.hostMs.encode += performance.now() - planned;
    return (rows, hurries) => {
      const began = performance.now();
      if (rows.size > 0) this.#nameMasks(rows, outs);
      const result = this.#player.submit(draws, this.#readback(outs)) as Promise<Uint32Array>;
      if (hurries) poke(this.gpu.device.queue, result);
      this.hostMs.encode += performance.now() - began;
      return result;
    };
  }

  /** Has draws of the step that was uploaded last go by these rows of `masks`. */
  #nameMasks(rows: ReadonlyMap<number, number>, outs: number): void {
    const { block, blockBuffer } = this.memory;
    const sampling = block.u32("sampling") as Uint32Array;
    for (const [draw, row] of rows) sampling[draw * SAMPLING_WORDS + MASK_ROW_WORD] = row;
    block.uploadInput(this.gpu.device.queue, blockBuffer, "sampling", 4 * outs * SAMPLING_WORDS);
  }

  /** Where so many draws are read. */
  #readback(outs: number): Readback {
    const source = this.memory.buffers.get("sampled") as GPUBuffer;
    return { ring: this.#ring, source, bytes: outs * SAMPLED_WORDS * 4 };
  }

  #play(
    names: readonly string[],
    env: Environment,
    read: number,
    batch: readonly BatchRow[],
    around: Around,
  ): Promise<Uint32Array> | undefined {
    const functions = names.map((name) => this.#functions.get(name));
    const copies = this.#copies(batch[0]?.sequence.pool);
    const before = (encoder: GPUCommandEncoder) => {
      copies?.(encoder);
      around.before?.(encoder);
    };
    const readback = read > 0 ? this.#readback(read) : undefined;
    return this.#player.run(functions, env, readback, { before, after: around.after });
  }

  /** `sample_plain` in the place of `sample`, where a batch asks for no more and not `sample` alone is ready. */
  #samplers(plain: boolean, sample: readonly string[]): readonly string[] {
    const functions = this.#functions;
    if (!sample.includes("sample") || !functions.has(PLAIN)) return sample;
    if (functions.missing.includes(PLAIN) && !functions.missing.includes("sample")) return sample;
    if (!plain) return sample;
    return sample.length > 1 ? PLAIN_LOGPROBS : PLAIN_ONLY;
  }

  /** Encodes the copies that a pool waits for; undefined when it waits for none. */
  #copies(pool: PagePool | undefined): Encode | undefined {
    const copies = pool?.takeCopies() ?? [];
    if (copies.length === 0) return undefined;
    return (encoder) => this.#pages.encodeCopies(encoder, copies);
  }

  /** Of a KV page: its bytes in all layers, and the type of keys and values. */
  get page(): { readonly bytes: number; readonly dtype: string } {
    return this.#pages;
  }

  /**
   * The content of KV pages once all steps so far have run, page after page: for each layer the keys, then the values, each
   * [kv_heads, page_size, head_dim] in the tier's type. The caller holds the pages until it has them.
   *
   * @throws DeviceLostError
   */
  async readPages(pool: PagePool, pages: readonly number[]): Promise<Uint8Array> {
    this.#checkDevice();
    this.#copyNow(pool);
    return Promise.race([this.#pages.read(pages), this.gpu.failed]);
  }

  /**
   * Writes KV pages that the caller holds, from bytes in the order of `readPages`; steps from now on see them.
   *
   * @throws DeviceLostError
   */
  writePages(pool: PagePool, pages: readonly number[], content: Uint8Array): void {
    this.#checkDevice();
    this.#copyNow(pool);
    this.#pages.write(pages, content);
  }

  /** What is not there must not count as cached, and a pool's copies are for the device that runs now. */
  #checkDevice(): void {
    const failure = this.gpu.failure();
    if (failure) throw failure;
  }

  #copyNow(pool: PagePool): void {
    const copies = this.#copies(pool);
    if (!copies) return;
    const encoder = this.gpu.device.createCommandEncoder();
    copies(encoder);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /**
   * Runs every kernel that is ready once, so that a driver compiles now what it would compile late. What it computes is of
   * no use, and needs no weights; it writes to KV pages, so no request may be under way.
   *
   * @param most tokens of the step, if chunk and context hold so many
   * @returns symbol values of this step, which stays in the step block
   */
  async warmUp(most = 1): Promise<number[]> {
    this.#warm.clear();
    const pool = new PagePool(this.#most("pages"));
    const sequence = new Sequence(pool, this.#pageSize, 0);
    const tokens = Math.min(most, this.chunk, pool.free * this.#pageSize);
    return this.#warmUp(this.#functions.prepared, sequence, tokens);
  }

  /**
   * Makes one of the unfinished functions ready and runs its own kernels, as `warmUp` does.
   *
   * @param scratch an empty sequence with a page to write to
   * @throws DeviceError
   */
  async finish(name: string, scratch: Sequence): Promise<void> {
    await this.prepare(name);
    this.#copyNow(scratch.pool); // the page may be one that is still to be copied
    await this.#warmUp([this.#functions.get(name)], scratch, 1);
  }

  async #warmUp(
    functions: readonly Prepared[],
    sequence: Sequence,
    tokens: number,
  ): Promise<number[]> {
    sequence.reserve(tokens);
    const options = { frequencyPenalty: 0, presencePenalty: 0, logitBias: [], logprobs: null };
    const sampling = new SamplingRow(options, {}, 0n);
    const outs = [{ index: tokens - 1, sampling, drawIndex: 0 }];
    const { env } = this.#planner.plan([{ sequence, tokens: new Int32Array(tokens), outs }]);
    this.#player.run(this.#player.sampleOf(functions, this.#warm), env);
    await this.idle();
    return [...env];
  }

  /** From now on other kernels of the same tier run. No step may be under way. @throws DeviceError */
  async adopt(model: Model, tier: Tier): Promise<void> {
    const pipelines = Functions.compileFirst(this.gpu.device, model, tier, this.#first);
    const functions = new Functions(pipelines, tier, this.#first, this.#player);
    await functions.prepareFirst();
    this.#functions = functions;
  }

  /** Resolves when the GPU has done everything submitted so far. */
  async idle(): Promise<void> {
    await Promise.race([this.gpu.device.queue.onSubmittedWorkDone(), this.gpu.failed]);
  }
}

/** Whether nothing that a batch draws needs more than `sample_plain`. */
const plain = (batch: readonly BatchRow[]): boolean =>
  batch.every(({ outs }) => outs.every(({ sampling }) => sampling.plain));
