// From TypeScript 6 on WebGPU's types are in the library for pages, and those of @webgpu/types contradict them.
export {};
