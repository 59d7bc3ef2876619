import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts"],
    // A software GPU compiles kernels on the same two cores.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
