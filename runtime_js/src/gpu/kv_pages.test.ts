import { afterEach, expect, test } from "vitest";
import type { Tier } from "../generated/program.js";
import { dawn } from "../testing/host.js";
import { COPY_DST, COPY_SRC } from "./flags.js";
import { KvPages } from "./kv_pages.js";
import type { Memory } from "./memory.js";

const devices: GPUDevice[] = [];
afterEach(() => {
  for (const device of devices.splice(0)) device.destroy();
});

/** Pages over two layers, f16 keys and f32 values, beside a buffer without pages. @param heads of each */
async function make(pages: number, heads: number) {
  const adapter = (await (await dawn()).requestAdapter()) as GPUAdapter;
  const device = await adapter.requestDevice();
  devices.push(device);
  const shape = ["pages", heads, 4, 8];
  const declared = [
    { name: "logits", dtype: "f32", shape: [16] },
    ...[0, 1].flatMap((layer) => [
      { name: `kv_k.${layer}`, dtype: "f16", shape },
      { name: `kv_v.${layer}`, dtype: "f32", shape },
    ]),
  ];
  const sizes = { f16: 2, f32: 4 } as Record<string, number>;
  const buffers = new Map(
    declared.map(({ name, dtype, shape }) => {
      const size = (shape[0] === "pages" ? pages * heads * 32 : 16) * (sizes[dtype] as number);
      return [name, device.createBuffer({ size, usage: COPY_SRC | COPY_DST })];
    }),
  );
  const symbols = { index: new Map([["pages", 0]]), maxima: [pages] };
  const tier = { buffers: declared, kv_dtype: "int8" } as unknown as Tier;
  const created: string[] = [];
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (descriptor) => {
    created.push(descriptor.label ?? "");
    return createBuffer(descriptor);
  };
  const kv = new KvPages(device, { buffers } as unknown as Memory, tier, symbols);
  const submit = (encode: (encoder: GPUCommandEncoder) => void) => {
    const encoder = device.createCommandEncoder();
    encode(encoder);
    device.queue.submit([encoder.finish()]);
  };
  return { kv, device, buffers, submit, created };
}

/** Bytes that tell which page, part and place they are of. */
const content = (kv: KvPages, pages: number, salt = 0): Uint8Array =>
  Uint8Array.from(
    { length: pages * kv.bytes },
    (_, i) => (i * 31 + (i >> 8) * 7 + salt * 101) % 251,
  );

const page = (kv: KvPages, all: Uint8Array, n: number) =>
  all.slice(n * kv.bytes, (n + 1) * kv.bytes);

test("what is written is read, in any order of pages", async () => {
  const { kv } = await make(6, 1);
  expect(kv.bytes).toBe(2 * (32 * 2 + 32 * 4));
  expect(kv.dtype).toBe("int8");
  const all = content(kv, 6);
  kv.write([4, 5, 0, 2, 1, 3], all);
  expect(await kv.read([4, 5, 0, 2, 1, 3])).toEqual(all);
  expect(await kv.read([0, 4])).toEqual(
    Uint8Array.from([...page(kv, all, 2), ...page(kv, all, 0)]),
  );
  expect(await kv.read([])).toEqual(new Uint8Array(0));
});

test("a page's bytes are its layers' keys and values, one after another", async () => {
  const { kv, device, buffers } = await make(2, 1);
  const parts = [...buffers.entries()].filter(([name]) => name.startsWith("kv_"));
  parts.forEach(([, buffer], i) => {
    device.queue.writeBuffer(buffer, buffer.size / 2, new Uint8Array(buffer.size / 2).fill(10 + i));
  });
  const bytes = await kv.read([1]);
  const expected = parts.flatMap(([, buffer], i) => Array(buffer.size / 2).fill(10 + i));
  expect([...bytes]).toEqual(expected);
});

test("copies run one after another, before what follows them", async () => {
  const { kv, submit } = await make(5, 1);
  const all = content(kv, 5);
  kv.write([0, 1, 2, 3, 4], all);
  submit((encoder) =>
    kv.encodeCopies(encoder, [
      { from: 0, to: 1 },
      { from: 1, to: 2 },
      { from: 3, to: 0 },
    ]),
  );
  const other = content(kv, 1, 3);
  kv.write([3], other);
  const after = await kv.read([0, 1, 2, 3, 4]);
  expect([0, 1, 2, 3, 4].map((n) => page(kv, after, n))).toEqual([
    page(kv, all, 3),
    page(kv, all, 0),
    page(kv, all, 0),
    other,
    page(kv, all, 4),
  ]);
});

test("reads see what was submitted before them and nothing later", async () => {
  const { kv, submit, buffers } = await make(2, 1);
  const all = content(kv, 2);
  kv.write([0, 1], all);
  const before = kv.read([0, 1]);
  await Promise.resolve(); // its turn among the readers has come: it is submitted
  submit((encoder) => encoder.clearBuffer(buffers.get("kv_v.1") as GPUBuffer));
  const after = kv.read([0, 1]);
  expect(await before).toEqual(all);
  const cleared = all.map((byte, i) => (i % kv.bytes < kv.bytes - 32 * 4 ? byte : 0));
  expect(await after).toEqual(cleared);
});

test("many bytes come through one buffer of bounded size, also when several read at once", async () => {
  const { kv, created } = await make(5, 4096); // 1.5 MiB a page
  expect(kv.chunk).toBe(2);
  const all = content(kv, 5);
  kv.write([0, 1, 2, 3, 4], all);
  const [some, other] = await Promise.all([kv.read([0, 1, 2, 3, 4]), kv.read([4, 0, 2])]);
  expect(Buffer.compare(some, all)).toBe(0);
  const mixed = Buffer.concat([4, 0, 2].map((n) => page(kv, all, n)));
  expect(Buffer.compare(other, mixed)).toBe(0);
  expect(created).toEqual(["kv.copy", "kv.read"]);
});

test("content of another size is refused", async () => {
  const { kv } = await make(2, 1);
  expect(() => kv.write([0], new Uint8Array(kv.bytes + 4))).toThrow(RangeError);
});
