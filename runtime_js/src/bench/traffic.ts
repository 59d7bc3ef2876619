/**
 * Bytes that a decode step moves, counted from the program: each binding of a launch once. The rule is that of
 * builder/webbuild/traffic.py, which says what a binding means for one step.
 */
import { PLAIN } from "../engine/sampling.js";
import { SOFTWARE_SPLIT_CONTEXT, SPLIT_CONTEXT } from "../engine/works.js";
import type { Kernel } from "../generated/kernels.js";
import type {
  Binding,
  Launch,
  Program,
  ProgramBuffer,
  Segment,
  Tier,
} from "../generated/program.js";
import { DTYPE_BYTES } from "../gpu/sizes.js";
import type { Model } from "../program/check.js";
import { compileExpression } from "../program/expression.js";
import type { LaunchTraffic, StepTraffic } from "./types.js";

/** The sampler's counts and biases: greedy requests use neither. */
const UNUSED = ["token_counts", "logit_bias", "masks"];

/** Counts a step of one sequence of `context` tokens, the new one included, on a GPU or a software adapter. */
export function decodeTraffic(
  model: Pick<Model, "program" | "kernels" | "tier">,
  tierName: string,
  context: number,
  software = false,
): StepTraffic {
  const { program, kernels } = model;
  const tier = model.tier(tierName);
  const count = new Count(program, kernels, tier, context);
  const from = software ? SOFTWARE_SPLIT_CONTEXT : SPLIT_CONTEXT;
  const split = context >= from && Object.hasOwn(tier.functions, "decode_split");
  const sampler = Object.hasOwn(tier.functions, PLAIN) ? PLAIN : "sample";
  const launches = [split ? "decode_split" : "decode", sampler].flatMap(
    (name) => tier.functions[name]?.launches ?? [],
  );
  const segments = new Set<number>();
  for (const launch of launches) {
    if (gathers(launch)) continue;
    for (const binding of launch.bindings) {
      if (binding.kind === "weight") segments.add(binding.segment);
    }
  }
  const counted = launches.map((launch) => count.launch(launch));
  return {
    context,
    launches: counted,
    read: total(counted.map(({ read }) => read)),
    written: total(counted.map(({ written }) => written)),
    weights: total([...segments].map((i) => resident(program.segments[i] as Segment))),
    kv: total(tier.buffers.filter((b) => isKv(b.name)).map((b) => count.kv(b, context))),
  };
}

class Count {
  readonly #index: ReadonlyMap<string, number>;
  readonly #maxima: readonly number[];
  /** One token of one sequence. */
  readonly #now: readonly number[];
  readonly #vocab: number;

  constructor(
    private readonly program: Program,
    private readonly kernels: Readonly<Record<string, Kernel>>,
    private readonly tier: Tier,
    private readonly context: number,
  ) {
    const pages = Math.ceil(context / program.page_size);
    const { symbols } = program;
    this.#index = new Map(symbols.map(({ name }, i) => [name, i]));
    this.#maxima = symbols.map(({ max }) => max || pages);
    const ones = ["tokens", "seqs", "outs", "q_tiles", "slots"];
    this.#now = symbols.map(({ name }, i) =>
      ones.includes(name) ? 1 : (this.#maxima[i] as number),
    );
    this.#vocab = this.#product(this.#buffer("logits").shape.slice(-1));
  }

  launch(launch: Launch): LaunchTraffic {
    const kernel = this.kernels[launch.kernel] as Kernel;
    let read = 0;
    let written = 0;
    if (kernel.name.startsWith("attention_shared")) {
      return { label: launch.label, kernel: kernel.name, read, written }; // one sequence shares nothing: it has no grid
    }
    launch.bindings.forEach((binding, i) => {
      const writes = kernel.bindings[i] === "read_write";
      const [r, w] = this.#binding(launch, kernel, binding, writes);
      read += r;
      written += w;
    });
    return { label: launch.label, kernel: kernel.name, read, written };
  }

  /** Bytes of so many tokens in the pages of one layer's keys or values. */
  kv({ dtype, shape }: ProgramBuffer, tokens: number): number {
    const page = this.#product(shape.slice(1));
    return Math.floor((tokens * DTYPE_BYTES[dtype] * page) / this.program.page_size);
  }

  /** Bytes read and written; what a launch writes it does not read. */
  #binding(
    launch: Launch,
    kernel: Kernel,
    binding: Binding,
    writes: boolean,
  ): [read: number, written: number] {
    const either = (nbytes: number): [number, number] => (writes ? [0, nbytes] : [nbytes, 0]);
    switch (binding.kind) {
      case "weight": {
        const nbytes = resident(this.program.segments[binding.segment] as Segment);
        const rows = gathers(launch) ? this.#rows(binding.segment) : 1;
        return [Math.ceil(nbytes / rows), 0];
      }
      case "storage":
        return either(this.#storage(launch, binding.index));
      case "input": {
        const input = this.program.inputs.find(({ name }) => name === binding.name);
        return [4 * this.#product(input?.shape ?? []), 0];
      }
      case "buffer": {
        const buffer = this.#buffer(binding.name);
        if (isKv(buffer.name)) {
          const reads = kernel.name.includes("attention") ? this.kv(buffer, this.context) : 0;
          return [reads, writes ? this.kv(buffer, 1) : 0];
        }
        if (UNUSED.includes(buffer.name)) return [0, 0];
        return either(DTYPE_BYTES[buffer.dtype] * this.#product(buffer.shape));
      }
    }
  }

  #buffer(name: string): ProgramBuffer {
    return this.tier.buffers.find((buffer) => buffer.name === name) as ProgramBuffer;
  }

  #product(shape: ProgramBuffer["shape"], env = this.#now): number {
    return shape.reduce<number>((n, e) => n * compileExpression(e, this.#index)(env), 1);
  }

  /** Rows of an embedding table's piece: its share of the vocabulary. */
  #rows(segment: number): number {
    const { segments } = this.program;
    const piece = segments[segment] as Segment;
    const pieces = segments.filter(({ tensor }) => tensor === piece.tensor);
    const whole = total(pieces.map(({ nbytes }) => nbytes));
    return Math.max(1, Math.floor((this.#vocab * piece.nbytes) / whole));
  }

  /**
   * Storages are planned for the largest step; a row of it is one token's. The sampler's hold at most a number per token
   * of the vocabulary.
   */
  #storage(launch: Launch, index: number): number {
    const nbytes = this.#product(this.tier.storages.slice(index, index + 1), this.#maxima);
    if (["sample", "logprobs"].includes(place(launch))) return Math.min(nbytes, 4 * this.#vocab);
    const tokens = this.#maxima[this.#index.get("tokens") as number] as number;
    return Math.ceil(nbytes / tokens);
  }
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);

/** Where in the model a launch is. */
const place = ({ label }: Launch): string => label.split(".")[0] as string;

/** Reads one row of its weight per token. */
const gathers = (launch: Launch): boolean => place(launch) === "embed";

const isKv = (name: string): boolean => name.startsWith("kv_");

const resident = ({ nbytes, transform }: Segment): number =>
  nbytes * (transform === "f16_to_f32" ? 2 : 1);
