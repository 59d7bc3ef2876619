/** What sessions are made with, checked. */
import { exception } from "./errors.js";
import type { LanguageModelMessage, LanguageModelMessageType } from "./messages.js";
import type { LanguageModelTool } from "./tools.js";

export type Availability = "unavailable" | "downloadable" | "downloading" | "available";

export type LanguageModelSamplingMode =
  | "most-predictable"
  | "predictable"
  | "balanced"
  | "creative"
  | "most-creative";

export interface LanguageModelExpected {
  type: LanguageModelMessageType;
  languages?: string[];
}

export interface LanguageModelCreateCoreOptions {
  /** 0..2, more counts as 2. */
  temperature?: number;
  /** At least 1. */
  topK?: number;
  /** Instead of the two. */
  samplingMode?: LanguageModelSamplingMode;
  /** Text, and with tools "tool-response". Languages must be tags of BCP 47; nothing is known of which ones a model speaks. */
  expectedInputs?: LanguageModelExpected[];
  /** Text, and with tools "tool-call". */
  expectedOutputs?: LanguageModelExpected[];
  /** At most 128. The model's chat template must take tools. */
  tools?: LanguageModelTool[];
}

export interface LanguageModelCreateOptions extends LanguageModelCreateCoreOptions {
  /** Ends the load; later, destroys the session. */
  signal?: AbortSignal;
  /** Is given what tells of `downloadprogress` events, with `loaded` from 0 to 1. */
  monitor?: (monitor: EventTarget) => void;
  initialPrompts?: LanguageModelMessage[];
}

export interface LanguageModelPromptOptions {
  /** A JSON schema, or a RegExp that the whole answer matches. */
  responseConstraint?: object;
  /** Of no effect: the constraint is never made part of the prompt. */
  omitResponseConstraintInput?: boolean;
  signal?: AbortSignal;
}

export interface LanguageModelParams {
  defaultTopK: number;
  maxTopK: number;
  defaultTemperature: number;
  maxTemperature: number;
}

export const MAX_TEMPERATURE = 2;
export const MAX_TOP_K = 128;

const MODES: Record<LanguageModelSamplingMode, number | undefined> = {
  "most-predictable": 0,
  predictable: 0.4,
  balanced: undefined, // the model's own
  creative: 1.2,
  "most-creative": 1.5,
};

/** Settings of a session's requests. */
export interface Sampling {
  /** null where temperature or topK is given. */
  mode: LanguageModelSamplingMode | null;
  temperature: number | undefined;
  topK: number | undefined;
}

/** @throws RangeError, TypeError */
export function readSampling({
  temperature,
  topK,
  samplingMode,
}: LanguageModelCreateCoreOptions): Sampling {
  if (samplingMode !== undefined) {
    if (temperature !== undefined || topK !== undefined) {
      throw new TypeError("samplingMode stands for temperature and topK: give one or the other");
    }
    if (!Object.hasOwn(MODES, samplingMode)) {
      throw new TypeError(`samplingMode is one of ${Object.keys(MODES).join(", ")}`);
    }
  }
  if (temperature !== undefined && !(temperature >= 0)) {
    throw new RangeError(`temperature must be at least 0, not ${temperature}`);
  }
  if (topK !== undefined && !(topK >= 1)) {
    throw new RangeError(`topK must be at least 1, not ${topK}`);
  }
  const mode = samplingMode ?? "balanced";
  return {
    mode: temperature === undefined && topK === undefined ? mode : null,
    temperature: temperature === undefined ? MODES[mode] : Math.min(temperature, MAX_TEMPERATURE),
    topK: topK === undefined ? undefined : Math.min(Math.floor(topK), MAX_TOP_K),
  };
}

/** @returns why a session can't be so, or undefined. @throws RangeError for what is no language tag */
export function unsupported({
  expectedInputs = [],
  expectedOutputs = [],
  tools = [],
}: LanguageModelCreateCoreOptions): DOMException | undefined {
  for (const { languages = [] } of [...expectedInputs, ...expectedOutputs]) {
    Intl.getCanonicalLocales(languages);
  }
  return (
    unexpected("expectedInputs", expectedInputs, "tool-response", tools.length > 0) ??
    unexpected("expectedOutputs", expectedOutputs, "tool-call", tools.length > 0)
  );
}

/** @param ofTools what there is beside text where there are tools */
function unexpected(
  option: string,
  expected: readonly LanguageModelExpected[],
  ofTools: LanguageModelMessageType,
  withTools: boolean,
): DOMException | undefined {
  const other = expected.find(({ type }) => type !== "text" && !(withTools && type === ofTools));
  if (!other) return undefined;
  const hint = other.type === ofTools ? ` without tools: give those, each with execute` : "";
  return exception("NotSupportedError", `${option} can't have ${other.type}${hint}`);
}
