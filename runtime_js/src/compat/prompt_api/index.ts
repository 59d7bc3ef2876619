/** webbuild/prompt-api: Chrome's Prompt API (`LanguageModel`) over this package. */
export {
  DownloadProgress,
  installLanguageModel,
  LanguageModel,
  type LanguageModelClass,
  languageModelOf,
} from "./language_model.js";
export type {
  LanguageModelMessage,
  LanguageModelMessageContent,
  LanguageModelMessageRole,
  LanguageModelMessageType,
  LanguageModelPrompt,
} from "./messages.js";
export type {
  Availability,
  LanguageModelCreateCoreOptions,
  LanguageModelCreateOptions,
  LanguageModelExpected,
  LanguageModelParams,
  LanguageModelPromptOptions,
  LanguageModelSamplingMode,
} from "./options.js";
export type { LanguageModelTool, LanguageModelToolFunction } from "./tools.js";
