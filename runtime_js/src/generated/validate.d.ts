// Made from builder/webbuild/schema by `make generate`; do not edit.
import type { PackManifest } from "./pack";
import type { Program, ProgramFunction } from "./program";
import type { KernelFile } from "./kernels";
import type { TensorCache } from "./tensor_cache";

export interface ValidationError {
  /** JSON pointer to the offending value. */
  instancePath: string;
  /** The rule that it breaks, such as `required` or `type`. */
  keyword: string;
  message?: string;
}

export interface Validator<T> {
  (data: unknown): data is T;
  errors: ValidationError[] | null;
}

/** Whether `data` has the form of a PackManifest; if not, `isPackManifest.errors` says why. */
export declare const isPackManifest: Validator<PackManifest>;

/** Whether `data` has the form of a Program; if not, `isProgram.errors` says why. */
export declare const isProgram: Validator<Program>;

/** Whether `data` has the form of a KernelFile; if not, `isKernelFile.errors` says why. */
export declare const isKernelFile: Validator<KernelFile>;

/** Whether `data` has the form of a TensorCache; if not, `isTensorCache.errors` says why. */
export declare const isTensorCache: Validator<TensorCache>;

/** Whether `data` has the form of a ProgramFunction; if not, `isProgramFunction.errors` says why. */
export declare const isProgramFunction: Validator<ProgramFunction>;
