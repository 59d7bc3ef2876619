/**
 * Continuous batching: one loop owns the GPU. Whenever a result arrives or a request comes or goes, it reads what has
 * arrived, lets waiting requests begin, chooses the next batch and submits it, until enough steps are under way.
 *
 * A request that ends gives its pages and its sampler slot away at once, even while surplus steps of it are under way: whoever
 * gets them is computed in a later step, and the GPU runs steps in order. Results of such steps are dropped.
 */
import { abortError, throwIfAborted } from "../errors.js";
import type { Sequence } from "../kv/sequence.js";
import type { TokenBytes } from "../text/token_bytes.js";
import { chooseBatch } from "./batch.js";
import { Beside } from "./beside.js";
import { ChunkBudget } from "./chunk_budget.js";
import { Exclusive } from "./exclusive.js";
import { Generation, type GenerationSpec, SAMPLED_WORDS } from "./generation.js";
import { type Chosen, choose, Guesses } from "./guesses.js";
import type { HeldDraws } from "./held_draws.js";
import type { KvMemory } from "./kv_memory.js";
import { PageShare, STEP_MS } from "./page_share.js";
import { insertRanked } from "./rank.js";
import type { Delta, FinishReason, GenerateResult } from "./request.js";
import { MIN_AHEAD, RunAhead } from "./run_ahead.js";
import { Running, type Slots } from "./running.js";
import { ServingCounts, type ServingStats } from "./serving_stats.js";
import type { StepRunner } from "./step_runner.js";

export type GenerationResult = Omit<GenerateResult, "promptTokens" | "droppedMessages">;

/** A generation and whom to tell how it ended. */
interface Request {
  resolve(result: GenerationResult): void;
  reject(error: Error): void;
  dispose(): void;
}

/** A step under way. */
interface Step {
  /** Who drew, in order of the result's rows. */
  draws: Chosen[];
  promptTokens: number;
  /** Whether it checks any. */
  guesses: boolean;
  /** Whether another was under way when it was submitted. */
  steady: boolean;
  submitted: number;
  /** The result, once it is here. */
  arrived: boolean;
  words: Uint32Array | undefined;
}

const SAMPLE = ["sample"];
const SAMPLE_LOGPROBS = ["sample", "logprobs"];
const NO_SAMPLE: string[] = [];

/** A step that fails may do so before the loss of its device is told: that much before. */
const LOSS_MS = 1000;

export class Scheduler {
  /** In order of rank. */
  readonly #waiting: Generation[] = [];
  #runner: StepRunner;
  #kv: KvMemory;
  #running: Running;
  readonly #requests = new Map<Generation, Request>();
  readonly #underWay: Step[] = [];
  /** Comes after all that are under way; nothing is submitted before its draws are. */
  #held: { step: Step; draws: HeldDraws<Generation> } | undefined;
  readonly #exclusive = new Exclusive(() => this.#wake());
  readonly #ahead = new RunAhead();
  /** What of the GPU's time is the page's. */
  readonly page: PageShare;
  readonly #budget: ChunkBudget;
  readonly #guesses = new Guesses();
  readonly #beside = new Beside();
  readonly #counts = new ServingCounts();
  /** Kernels that a step needs compile. */
  #compiles = false;
  #pumping = false;
  #awake = false;
  /** The device is lost, and another awaited. */
  #suspended = false;
  #stopped: Error | undefined;
  #lastArrival = 0;
  #lastId = 0;
  readonly #sampler: Slots = {
    writeBias: (slot, bias) => this.#runner.writeBias(slot, bias),
    writeCounts: (slot, tokens) => this.#runner.writeCounts(slot, tokens),
    free: (slot) => this.#runner.drafter?.free(slot),
  };
  /** Called when there is nothing left to do, and after each step that has arrived. */
  onIdle: () => void = () => {};
  onStep: () => void = () => {};
  /** Called when the device has failed: ends everything, unless somebody suspends it instead. */
  onFailure: (error: Error) => void = (error) => this.stop(error);

  constructor(
    runner: StepRunner,
    kv: KvMemory,
    private readonly bytes: TokenBytes,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#runner = runner;
    this.#kv = kv;
    this.#running = new Running(kv, this.#sampler, runner.maxBatch);
    this.#budget = new ChunkBudget(runner.chunk);
    this.page = new PageShare(() => this.#wake(), now);
    this.#watch(runner);
  }

  /** The pages of the device that runs now, or will. */
  get kv(): KvMemory {
    return this.#kv;
  }

  #watch(runner: StepRunner): void {
    runner.gpu.failed.catch((error: Error) => {
      if (this.#isLive(runner)) this.onFailure(error);
    });
  }

  /** Whether steps run there, or could. */
  #isLive(runner: StepRunner): boolean {
    return runner === this.#runner && !this.#suspended;
  }

  /**
   * The device is lost: who runs waits, as who comes, until {@link resume}; steps under way and all that is cached are
   * forgotten, exclusive work under way rejects with `error`.
   */
  suspend(error: Error): void {
    this.#counts.evictedBefore += this.#kv.tree.counters.evictedPages;
    this.#suspended = true;
    for (const generation of this.#running.all) insertRanked(this.#waiting, generation);
    for (const generation of this.#waiting) generation.restart();
    this.#kv = this.#kv.renewed();
    this.#running = new Running(this.#kv, this.#sampler, this.#runner.maxBatch);
    this.#underWay.length = 0;
    this.#held = undefined;
    this.#ahead.pause();
    this.#compiles = false;
    this.#exclusive.giveUp(error);
  }

  /** Goes on with a new device: every request from its prompt and what it has told of its answer. */
  resume(runner: StepRunner): void {
    this.#runner = runner;
    this.#guesses.restart();
    this.#beside.restart();
    this.#suspended = false;
    this.#watch(runner);
    this.#wake();
  }

  /** Whether nobody waits or runs. */
  get idle(): boolean {
    return this.#requests.size === 0 && !this.#exclusive.waits && !this.#blocked;
  }

  /** Whether nothing can be submitted just now. */
  get #blocked(): boolean {
    return this.#compiles || this.#exclusive.runs;
  }

  /** Whether every request rejects, now and later. */
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Sampler slots and steps that are in use. */
  get used(): { slots: number; steps: number } {
    return { slots: this.#running.usedSlots, steps: this.#underWay.length + (this.#held ? 1 : 0) };
  }

  /** Generates. @throws AbortError at once when aborted, DeviceError, DeviceLostError */
  generate(
    spec: GenerationSpec,
    onDelta: (delta: Delta) => void,
    signal: AbortSignal,
  ): Promise<GenerationResult> {
    throwIfAborted(signal);
    if (this.#stopped) return Promise.reject(this.#stopped);
    const generation = new Generation(spec, ++this.#lastId, this.now(), this.bytes, onDelta);
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#end(generation, abortError(signal));
      signal.addEventListener("abort", onAbort, { once: true });
      const dispose = () => signal.removeEventListener("abort", onAbort);
      this.#requests.set(generation, { resolve, reject, dispose });
      insertRanked(this.#waiting, generation);
      this.#wake();
    });
  }

  /** Runs `work` when no request runs; requests that come meanwhile wait. @param work gets a sequence with one page to write to */
  exclusive<T>(work: (scratch: Sequence) => Promise<T>): Promise<T> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    return this.#exclusive.add(async () => {
      const scratch = this.kv.take(1) as Sequence; // it began when there was room
      scratch.length = 0;
      scratch.slot = 0;
      try {
        return await work(scratch);
      } finally {
        scratch.release();
      }
    });
  }

  /**
   * Holds the pages of a sequence that does not run while `work` lasts: requests that lack pages wait for it. In the end the
   * sequence is released.
   */
  async hold<T>(sequence: Sequence, work: () => Promise<T>): Promise<T> {
    const running = this.#running;
    running.hold(sequence);
    try {
      return await work();
    } finally {
      running.letGo(sequence);
      this.#wake();
    }
  }

  /** Holds the pages of a sequence that does not run, until {@link letGo}; `drop` must call that when a request needs them. */
  keep(sequence: Sequence, drop: () => void): void {
    this.#running.hold(sequence, drop);
  }

  /** Releases a sequence that was kept. */
  letGo(sequence: Sequence): void {
    this.#running.letGo(sequence);
    this.#wake();
  }

  /** Whether those that run, and one more, can do without so many pages for now, and without those of a sequence. */
  spares(pages: number, sequence?: Sequence): boolean {
    return this.#running.spares(pages, sequence);
  }

  /** Rejects everything under way and everything that comes later. */
  stop(error: Error): void {
    if (this.#stopped) return;
    this.#stopped = error;
    this.#held = undefined;
    for (const generation of [...this.#requests.keys()]) this.#end(generation, error);
    this.#exclusive.stop(error);
  }

  stats(): ServingStats {
    return this.#counts.stats({
      waiting: this.#waiting.length,
      running: this.#running.all.length,
      speculation: this.#guesses.stats,
      pages: this.#running.pages,
      evictedPages: this.kv.tree.counters.evictedPages,
      hostMs: this.#runner.hostMs,
    });
  }

  /** Has the loop turn soon: after whoever called has done all that is to be seen by it. */
  #wake(): void {
    if (this.#awake) return;
    this.#awake = true;
    queueMicrotask(() => {
      this.#awake = false;
      this.#pump();
    });
  }

  /** One turn of the loop. What listeners do in it, such as aborting, is seen by the turn they cause. */
  #pump(): void {
    if (this.#pumping) {
      this.#wake();
      return;
    }
    this.#pumping = true;
    try {
      while (this.#underWay[0]?.arrived) this.#read(this.#underWay.shift() as Step);
      if (this.#stopped || this.#suspended) return;
      this.#release();
      if (this.#underWay.length === 0) this.#ahead.pause();
      const free = !this.#blocked && this.#running.all.length === 0 && this.used.steps === 0;
      if (free && this.#exclusiveWaits) {
        this.#exclusive.begin();
      }
      while (!this.#blocked && this.#mayFollow()) {
        this.#admit();
        if (!this.#submit()) break;
      }
      if (this.#ahead.outruns) this.#learn();
      if (this.idle) this.onIdle();
    } catch (error) {
      // Nobody's: whoever waits is told, instead of waiting for ever. A lost device says so itself.
      if (!this.#runner.gpu.failure()) this.stop(error as Error);
    } finally {
      this.#pumping = false;
    }
  }

  /** Whether exclusive work is next. Where what is held leaves it no page, requests go first: they can have held pages let go. */
  get #exclusiveWaits(): boolean {
    return this.#exclusive.waits && this.#running.spares(1);
  }

  /** While the GPU is busy: masks that steps which run ahead may need. */
  #learn(): void {
    for (const generation of [...this.#running.all]) {
      try {
        if (!generation.ended) generation.spec.constraint?.learn(this.#runner.masks);
      } catch (error) {
        this.#end(generation, error as Error);
      }
    }
  }

  /** Whether a step can be submitted after those under way: where the next begins is known once guesses are checked. */
  #mayFollow(): boolean {
    const last = this.#underWay.at(-1);
    if (this.#held) return false;
    if (this.page.some) return last === undefined && !this.page.lasts;
    return this.#underWay.length < this.#ahead.depth && (last === undefined || !last.guesses);
  }

  #read(step: Step): void {
    const { words, promptTokens, submitted } = step;
    const now = this.now();
    const took = now - Math.max(submitted, this.#lastArrival);
    this.#counts.waitMs += now - submitted;
    this.#lastArrival = now;
    this.#ahead.arrived(now);
    this.page.arrived();
    if (!step.guesses) this.#budget.arrived(promptTokens, took);
    let at = 0;
    for (const draw of step.draws) {
      const { generation, guesses } = draw;
      const rows = words?.subarray(at, at + (1 + guesses) * SAMPLED_WORDS);
      at += (1 + guesses) * SAMPLED_WORDS;
      if (generation.ended || draw.dropped || draw.strays !== generation.strays || !rows) continue;
      const { draws, completionTokens, jumped, strayed } = generation;
      try {
        const finish = generation.take(rows, guesses, now, this.#runner.masks, draw.follows);
        // Its listener may have ended it.
        if (finish && !generation.ended) this.#finish(generation, finish);
      } catch (error) {
        this.#end(generation, error as Error);
      }
      draw.right = generation.draws - draws;
      draw.gained = generation.completionTokens - completionTokens;
      this.#counts.drawn += draw.gained;
      this.#counts.jumped += generation.jumped - jumped;
      this.#counts.strayed += generation.strayed - strayed;
    }
    this.#guesses.checked(step, took);
    this.onStep();
  }

  /** Lets waiting requests begin, in order of rank, as long as there are slots and room. */
  #admit(): void {
    if (this.#exclusiveWaits) return;
    let at = 0;
    while (at < this.#waiting.length) {
      const generation = this.#waiting[at] as Generation;
      if (generation.awaits) return; // preempted, and not all that it has drawn is here
      if (this.#running.full && !this.#running.outrankedBy(generation)) return;
      const begun = this.#running.begin(generation);
      if (begun === "later") at++;
      else if (begun === "begun") {
        this.#waiting.splice(at, 1);
        this.#noteBegin(generation);
      } else {
        const outranked = this.#running.outrankedBy(generation);
        if (!outranked) return;
        this.#preempt(outranked); // it waits behind this one
      }
    }
  }

  #noteBegin(generation: Generation): void {
    if (generation.began !== undefined) return; // it was preempted
    const { spec, sequence, promptTokens } = generation;
    generation.began = this.now();
    generation.cachedTokens = spec.cache ? (sequence?.length ?? 0) : 0;
    this.#counts.lookedUp += spec.cache ? promptTokens : 0;
    this.#counts.cached += generation.cachedTokens;
    try {
      const finish = generation.jump();
      if (finish && !generation.ended) this.#finish(generation, finish);
    } catch (error) {
      this.#end(generation, error as Error);
    }
    this.#counts.drawn += generation.jumped;
    this.#counts.jumped += generation.jumped;
  }

  /** Submits the next step. @returns false if there is nothing to compute just now, or something to compile first */
  #submit(): boolean {
    const chosen = this.#choose();
    if (chosen.length === 0) return false;
    const runner = this.#runner;
    const drawing = chosen.filter(({ generation, count }) => count === generation.pending);
    const logprobs = drawing.some(({ generation }) => generation.spec.options.logprobs !== null);
    const sample = drawing.length === 0 ? NO_SAMPLE : logprobs ? SAMPLE_LOGPROBS : SAMPLE;
    const masked = drawing.filter(({ generation }) => generation.spec.constraint);
    const follows = masked.every(({ generation }) => generation.foresees(runner.masks));
    // Those under way keep the GPU busy until it is surer.
    if (!follows && this.#underWay.length >= MIN_AHEAD) {
      if (masked.every(({ generation }) => generation.foresees(runner.masks, 1))) return false;
    }
    for (const of of masked) of.follows = follows;
    if (masked.length === 0) this.#guesses.add(chosen, drawing.length, this.#kv, runner);
    const rows = this.#guesses.rows(chosen, sample, runner);
    const missing = this.#beside.needed(runner.missing(rows, sample), runner);
    if (missing.length > 0) {
      this.#prepare(missing, chosen);
      return false;
    }
    const step: Step = {
      draws: drawing,
      promptTokens: chosen.reduce((sum, { count }) => sum + (count > 1 ? count : 0), 0),
      guesses: chosen.some(({ guesses }) => guesses > 0),
      steady: this.#underWay.length > 0,
      submitted: this.now(),
      arrived: false,
      words: undefined,
    };
    const prefilling = chosen.filter(({ generation }) => generation.prefills);
    try {
      this.#count(chosen);
      const holds = follows ? undefined : masked[0]?.generation.spec.constraint;
      if (holds) this.#held = { step, draws: holds.hold(drawing, runner.forward(rows, sample)) };
      else this.#follow(step, runner.step(rows, sample));
    } catch (error) {
      if (runner.gpu.failure()) return false;
      for (const { generation } of chosen) this.#end(generation, error as Error);
      return true;
    }
    this.#counts.steps++;
    this.#counts.rows += chosen.length;
    if (follows) this.#counts.ahead += masked.length;
    for (const { generation } of prefilling) {
      this.#running.keepPrompt(generation);
      if (!generation.prefills) generation.spec.computed?.(generation.sequence as Sequence);
    }
    this.#release();
    return true;
  }

  /** Has penalties see tokens that were not drawn. */
  #count(chosen: readonly Chosen[]): void {
    for (const { generation } of chosen) {
      if (!generation.uncounted) continue;
      generation.uncounted = false;
      this.#runner.writeCounts((generation.sequence as Sequence).slot, generation.counted);
    }
  }

  /** All of a step is submitted: its result is awaited, or its end. */
  #follow(step: Step, drawn: Promise<Uint32Array> | undefined): void {
    const runner = this.#runner;
    const result = drawn ?? runner.idle();
    result.then(
      (words) => {
        step.words = words ?? undefined;
        step.arrived = true;
        this.#pump();
      },
      // If the device is gone it says so itself, and better.
      (error: Error) => {
        setTimeout(() => this.#isLive(runner) && this.stop(error), LOSS_MS);
      },
    );
    for (const { generation, guesses, dropped } of step.draws) {
      if (!dropped) generation.drew(guesses);
    }
    this.#underWay.push(step);
  }

  /**
   * Submits the draws that a step holds back, once all that they depend on is read: their masks are made while the GPU
   * runs the step's forward pass.
   */
  #release(): void {
    if (!this.#held?.draws.ready) return;
    const { step, draws } = this.#held;
    this.#held = undefined;
    const runner = this.#runner;
    const began = this.now();
    try {
      const { hurries } = this.#ahead;
      const rows = draws.mask(runner.masks, (of, error) => this.#end(of, error));
      if (rows.size > 0) this.#counts.masked(this.now() - began);
      this.#follow(step, draws.submit(rows, hurries && step.promptTokens === 0));
    } catch (error) {
      if (runner.gpu.failure()) return;
      for (const { generation } of step.draws) this.#end(generation, error as Error);
    }
  }

  /** The next batch, whose pages are reserved. Whoever gets no page stays as it is until there is one. */
  #choose(): Chosen[] {
    const running = [...this.#running.all];
    const streams = running.some(({ spec, prefills }) => spec.streams && !prefills);
    const pending = running.map((generation) => generation.pending);
    const { chunk, maxBatch } = this.#runner;
    const decodes = pending.filter((tokens) => tokens === 1).length;
    const bound = this.page.some ? this.#budget.within(STEP_MS) : this.#budget.bound;
    const counts = chooseBatch(pending, {
      seqs: maxBatch,
      tokens: Math.min(chunk, decodes + bound),
      promptTokens: streams ? this.#budget.tokens : chunk,
    });
    const chosen: Chosen[] = [];
    running.forEach((generation, i) => {
      const count = counts[i] as number;
      // It may have been preempted by one before it.
      if (count > 0 && generation.sequence && this.#makeRoom(generation, count)) {
        chosen.push(choose(generation, count));
      }
    });
    return chosen;
  }

  /** Reserves pages, if need be those of whoever comes last in rank. */
  #makeRoom(generation: Generation, count: number): boolean {
    while (true) {
      const room = this.#running.makeRoom(generation, count);
      if (room === true) return true;
      if (typeof room === "string") {
        // What it has drawn comes first. One that waits goes on when another ends, or gives it its pages.
        if (room === "alone" && !generation.awaits) this.#finish(generation, "length");
        return false;
      }
      this.#preempt(room);
    }
  }

  /** Takes pages and slot from a running request, which goes on later. */
  #preempt(generation: Generation): void {
    this.#counts.preemptions++;
    this.#running.vacate(generation);
    insertRanked(this.#waiting, generation);
  }

  /** Compiles what a step needs. If that fails, those who need it are told. */
  #prepare(missing: readonly string[], chosen: readonly { generation: Generation }[]): void {
    this.#compiles = true;
    const runner = this.#runner;
    const onlyLogprobs = missing.every((name) => name === "logprobs");
    runner
      .prepare(...missing)
      .catch((error: Error) => {
        if (!this.#isLive(runner)) return;
        for (const { generation } of chosen) {
          const needs = !onlyLogprobs || generation.spec.options.logprobs !== null;
          if (needs) this.#end(generation, error);
        }
      })
      .finally(() => {
        if (!this.#isLive(runner)) return;
        this.#compiles = false;
        this.#wake();
      });
  }

  #finish(generation: Generation, finishReason: FinishReason): void {
    if (finishReason === "length") generation.flush();
    if (generation.ended) return; // by its listener
    const { completionTokens, cachedTokens = 0, slides } = generation;
    this.#guesses.ended(completionTokens);
    this.#end(generation, { finishReason, completionTokens, cachedTokens, slides });
  }

  #end(generation: Generation, outcome: GenerationResult | Error): void {
    if (generation.ended) return;
    generation.ended = true;
    const waiting = this.#waiting.indexOf(generation);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    else this.#running.vacate(generation);
    this.#counts.ended(generation, this.now());
    const { resolve, reject, dispose } = this.#requests.get(generation) as Request;
    this.#requests.delete(generation);
    dispose();
    if (outcome instanceof Error) reject(outcome);
    else resolve(outcome);
    this.#wake();
  }
}
