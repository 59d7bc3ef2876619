/**
 * The step block: one GPU buffer that the host fills with one `writeBuffer` per step. It holds the uniform blocks of all
 * functions, then the step inputs, smallest first, so that a step of few tokens writes few bytes.
 */
import type { Input, Program, ProgramFunction } from "../generated/program.js";
import { compileExpression, type Environment, type Evaluate } from "../program/expression.js";
import { align, type Symbols, sizeOf } from "./sizes.js";

/** Offsets that satisfy every adapter's uniform and storage alignment. */
const ALIGNMENT = 256;

export interface InputSlot {
  offset: number;
  /** Bytes at symbol maxima. */
  nbytes: number;
  /** Elements in use in a step. */
  elements: Evaluate;
}

export interface BlockLayout {
  bytes: number;
  inputs: ReadonlyMap<string, InputSlot>;
  /** Per function: offset of each of its uniform blocks. */
  params: ReadonlyMap<string, readonly number[]>;
}

/** Bytes of a uniform block of `fields` 32-bit scalars. */
export const paramBytes = (fields: number): number => align(Math.max(fields, 1) * 4, 16);

export function layoutStepBlock(
  program: Program,
  functions: Readonly<Record<string, ProgramFunction>>,
  symbols: Symbols,
): BlockLayout {
  let end = 0;
  const place = (nbytes: number): number => {
    const offset = end;
    end = align(end + nbytes, ALIGNMENT);
    return offset;
  };
  const params = new Map<string, number[]>();
  for (const [name, fn] of Object.entries(functions)) {
    params.set(
      name,
      fn.params.map((block) => place(paramBytes(block.length))),
    );
  }
  const sized = program.inputs.map((input) => ({
    input,
    nbytes: align(sizeOf(input.shape, symbols, `input ${input.name}`) * 4, 16),
  }));
  sized.sort((a, b) => a.nbytes - b.nbytes);
  const inputs = new Map<string, InputSlot>();
  for (const { input, nbytes } of sized) {
    inputs.set(input.name, { offset: place(nbytes), nbytes, elements: elements(input, symbols) });
  }
  return { bytes: Math.max(end, ALIGNMENT), inputs, params };
}

function elements(input: Input, symbols: Symbols): Evaluate {
  const dims = input.shape.map((e) => compileExpression(e, symbols.index));
  return (env) => {
    let n = 1;
    for (const d of dims) n *= d(env);
    return n;
  };
}

/** The host's copy of the step block. */
export class StepBlock {
  readonly #bytes: ArrayBuffer;
  readonly view: DataView;
  readonly #slots: InputSlot[];

  constructor(readonly layout: BlockLayout) {
    this.#bytes = new ArrayBuffer(layout.bytes);
    this.view = new DataView(this.#bytes);
    this.#slots = [...layout.inputs.values()];
  }

  /** An input as i32; `undefined` when the program has no such input. */
  i32(name: string): Int32Array | undefined {
    const slot = this.layout.inputs.get(name);
    return slot && new Int32Array(this.#bytes, slot.offset, slot.nbytes / 4);
  }

  /** An input's bits as u32. */
  u32(name: string): Uint32Array | undefined {
    const slot = this.layout.inputs.get(name);
    return slot && new Uint32Array(this.#bytes, slot.offset, slot.nbytes / 4);
  }

  /** Writes the first bytes of one input again. */
  uploadInput(queue: GPUQueue, buffer: GPUBuffer, name: string, bytes: number): void {
    const { offset } = this.layout.inputs.get(name) as InputSlot;
    queue.writeBuffer(buffer, offset, this.#bytes, offset, bytes);
  }

  /** Writes everything a step with these symbol values can read. */
  upload(queue: GPUQueue, buffer: GPUBuffer, env: Environment): void {
    let end = 0;
    for (const slot of this.#slots) end = Math.max(end, slot.offset + slot.elements(env) * 4);
    queue.writeBuffer(buffer, 0, this.#bytes, 0, end);
  }
}
