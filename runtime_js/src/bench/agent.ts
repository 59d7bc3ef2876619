/**
 * What `webbuild bench` talks to, in a page (over a WebSocket) or in Node (over standard input and output): it holds the
 * subjects of a comparison and does what it is told, one command at a time.
 */
import type { LoadOptions } from "../engine/load.js";
import { InvalidRequestError, toWire } from "../errors.js";
import type { Bench } from "./bench.js";
import { hostName } from "./host_name.js";
import { KernelBench, type KernelProblem } from "./kernels.js";
import { type PublicBuild, PublicSubject } from "./public_api.js";
import {
  BENCH_VERSION,
  type Case,
  type Generation,
  type LoadReport,
  type ProfiledStep,
  type ProfileMode,
} from "./types.js";

/** JSON messages to and from the command line. */
export interface Channel {
  send(message: unknown): void;
  /** Calls `listener` with every message that arrives. */
  listen(listener: (message: unknown) => void): void;
}

export type Command = { id: number } & (
  | { method: "describe"; args: null }
  | { method: "load"; args: LoadArgs }
  | { method: "generate"; args: { subject: string; what: Case } }
  | { method: "profile"; args: { subject: string; what: Case; mode: ProfileMode } }
  | { method: "bandwidth"; args: { runtime: string; nbytes: number } }
  | { method: "kernelAdapter"; args: null }
  | { method: "kernels"; args: KernelProblem }
);

export interface LoadArgs {
  subject: string;
  /** Folders of a built package and of a pack: absolute URLs with trailing slashes. */
  runtime: string;
  pack: string;
  /** `engine`: by the build's own benchmark; `public`: through its public API. */
  method: "engine" | "public";
  options: Omit<LoadOptions, "url">;
}

interface Subject {
  generate(what: Case): Promise<Generation>;
  profile?(what: Case, mode: ProfileMode): Promise<ProfiledStep[]>;
  close(): void | Promise<void>;
}

/** Serves commands until the channel ends. */
export function runAgent(channel: Channel, gpu?: GPU): void {
  const subjects = new Map<string, Subject>();
  const subject = (name: string): Subject => {
    const found = subjects.get(name);
    if (!found) throw new InvalidRequestError(`no subject ${name} is loaded`, { param: "subject" });
    return found;
  };

  let kernels: Promise<KernelBench> | undefined;
  const kernelBench = () => {
    kernels ??= KernelBench.open(gpu ?? globalThis.navigator?.gpu);
    return kernels;
  };

  const load = async (id: number, args: LoadArgs): Promise<LoadReport> => {
    await subjects.get(args.subject)?.close();
    subjects.delete(args.subject);
    const onProgress = (event: unknown) => channel.send({ id, event });
    const { runtime, pack, options } = args;
    if (args.method === "public") {
      const build = (await import(`${runtime}index.js`)) as PublicBuild;
      const where = gpu ? { gpu, worker: false } : {};
      const loaded = await PublicSubject.load(build, pack, { ...options, ...where, onProgress });
      subjects.set(args.subject, loaded.subject);
      return loaded.report;
    }
    const bench = await openBench(runtime, gpu);
    const report = await bench.load({ url: pack, ...options }, onProgress).catch((error) => {
      bench.close();
      throw error;
    });
    subjects.set(args.subject, bench);
    return report;
  };

  const run = async (command: Command): Promise<unknown> => {
    const { id, method, args } = command;
    switch (method) {
      case "describe":
        return describe();
      case "load":
        return load(id, args);
      case "generate":
        return subject(args.subject).generate(args.what);
      case "profile":
        return (await subject(args.subject).profile?.(args.what, args.mode)) ?? [];
      case "bandwidth": {
        const bench = await openBench(args.runtime, gpu);
        return bench.bandwidth(args.nbytes).finally(() => bench.close());
      }
      case "kernelAdapter":
        return (await kernelBench()).adapter;
      case "kernels":
        return (await kernelBench()).measure(args);
    }
  };

  let queue: Promise<unknown> = Promise.resolve();
  channel.listen((message) => {
    const command = message as Command;
    queue = queue.then(async () => {
      try {
        channel.send({ id: command.id, result: await run(command) });
      } catch (error) {
        const { name, message } = toWire(error);
        channel.send({ id: command.id, error: { name, message } });
      }
    });
  });
}

/** What this is: for the report, and so that the command line knows that they agree. */
function describe(): { version: number; where: string; isolated: boolean } {
  return {
    version: BENCH_VERSION,
    where: hostName(),
    isolated: globalThis.crossOriginIsolated ?? true,
  };
}

/** The benchmark of a build, which need not be this one. */
async function openBench(runtime: string, gpu: GPU | undefined): Promise<Bench> {
  const build = (await import(`${runtime}bench.js`)) as {
    Bench: typeof Bench;
    BENCH_VERSION: number;
  };
  if (build.BENCH_VERSION !== BENCH_VERSION) {
    throw new InvalidRequestError(
      `${runtime}bench.js is of version ${build.BENCH_VERSION}, this benchmark of ${BENCH_VERSION}: build both anew`,
      { param: "runtime" },
    );
  }
  return build.Bench.open(gpu);
}
