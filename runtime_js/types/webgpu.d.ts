// For TypeScript before 6, whose library for pages has no WebGPU.
/// <reference types="@webgpu/types" />
export {};
