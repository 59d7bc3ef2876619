/** The WebGPU bit flags we use, as numbers: hosts without the globals (Node, server-side rendering) import this too. */
export const MAP_READ = 0x0001;
export const MAP_WRITE = 0x0002;
export const COPY_SRC = 0x0004;
export const COPY_DST = 0x0008;
export const UNIFORM = 0x0040;
export const STORAGE = 0x0080;
export const QUERY_RESOLVE = 0x0200;
export const STAGE_COMPUTE = 0x4;
export const MODE_READ = 0x1;
export const MODE_WRITE = 0x2;
