/** Packs in the browser's storage, by WebLLM's names. */
import { Engine, packFolder } from "../../index.js";
import { type AppConfig, findRecord, prebuiltAppConfig } from "./config.js";

const url = (modelId: string, appConfig: AppConfig) => findRecord(modelId, appConfig).model;

/** Whether all of a model is stored. @throws ModelNotFound */
export async function hasModelInCache(
  modelId: string,
  appConfig = prebuiltAppConfig,
): Promise<boolean> {
  const folder = packFolder(url(modelId, appConfig));
  const packs = await Engine.listCached();
  return packs.some((p) => p.url === folder && p.storedBytes === p.totalBytes);
}

/** Removes a model from the browser's storage. @throws ModelNotFound */
export async function deleteModelAllInfoInCache(
  modelId: string,
  appConfig = prebuiltAppConfig,
): Promise<void> {
  await Engine.deleteCached(url(modelId, appConfig));
}

/** The same as {@link deleteModelAllInfoInCache}: a pack is kept or removed as a whole. */
export const deleteModelInCache = deleteModelAllInfoInCache;

/** Does nothing but look the model up: settings go with their pack. @throws ModelNotFound */
export async function deleteChatConfigInCache(
  modelId: string,
  appConfig = prebuiltAppConfig,
): Promise<void> {
  findRecord(modelId, appConfig);
}

/** Does nothing but look the model up: kernels go with their pack. @throws ModelNotFound */
export const deleteModelWasmInCache = deleteChatConfigInCache;
