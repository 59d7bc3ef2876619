/** Placement of weight segments into few large GPU buffers. */
import type { Segment } from "../generated/program.js";
import { align, residentBytes } from "./sizes.js";

/** Above this a buffer is likelier to fail for fragmentation than to save anything. */
const ARENA_BYTES = 256 * 2 ** 20;

export interface Placement {
  arena: number;
  offset: number;
  nbytes: number;
}

export interface ArenaLayout {
  /** Bytes of each arena. */
  arenas: number[];
  /** By segment. */
  placements: Placement[];
}

/** Puts segments, in order, into arenas of at most min(`maxBufferSize`, 256 MiB), each segment 256-byte aligned. */
export function layoutArenas(segments: readonly Segment[], maxBufferSize: number): ArenaLayout {
  const limit = Math.min(maxBufferSize, ARENA_BYTES);
  const arenas: number[] = [];
  const placements = segments.map((segment): Placement => {
    const nbytes = residentBytes(segment);
    let arena = arenas.length - 1;
    let offset = arena < 0 ? 0 : align(arenas[arena] as number, 256);
    if (arena < 0 || offset + nbytes > limit) {
      arena = arenas.length;
      offset = 0;
    }
    arenas[arena] = offset + nbytes;
    return { arena, offset, nbytes };
  });
  return { arenas: arenas.map((bytes) => align(bytes, 16)), placements };
}
