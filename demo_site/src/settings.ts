// What the visitor can set, kept in localStorage.

import { effect, signal } from "@preact/signals";
import { store, stored } from "./stored.js";

export interface Settings {
  systemPrompt: string;
  temperature: number;
  topP: number;
  /** 0 turns it off. */
  topK: number;
  minP: number;
  maxTokens: number;
  /** Empty: another draw each time. */
  seed: string;
  theme: "auto" | "light" | "dark";
}

export const DEFAULTS: Settings = {
  systemPrompt: "You are a helpful assistant.",
  temperature: 0.3,
  topP: 0.95,
  topK: 0,
  minP: 0,
  maxTokens: 512,
  seed: "",
  theme: "auto",
};

/** The ranges that the form offers and that stored values must lie in. */
export const RANGES = {
  temperature: { min: 0, max: 2, step: 0.05 },
  topP: { min: 0.05, max: 1, step: 0.05 },
  topK: { min: 0, max: 200, step: 1 },
  minP: { min: 0, max: 0.5, step: 0.01 },
  maxTokens: { min: 1, max: 4096, step: 1 },
} as const;

const KEY = "webbuild.settings";

/** Settings from a stored string; whatever is missing, of another type or out of range is the default. */
export function parseSettings(stored: string | null): Settings {
  const settings: Settings = { ...DEFAULTS };
  let found: Record<string, unknown>;
  try {
    found = Object(JSON.parse(stored ?? "{}"));
  } catch {
    return settings;
  }
  for (const [name, { min, max, step }] of Object.entries(RANGES)) {
    const value = found[name];
    const whole = step !== 1 || Number.isInteger(value);
    if (typeof value === "number" && value >= min && value <= max && whole) {
      settings[name as keyof typeof RANGES] = value;
    }
  }
  if (typeof found.systemPrompt === "string") settings.systemPrompt = found.systemPrompt;
  if (typeof found.seed === "string" && parseSeed(found.seed) !== null) settings.seed = found.seed;
  if (found.theme === "light" || found.theme === "dark") settings.theme = found.theme;
  return settings;
}

/** The seed as a number, undefined when left empty, null when it is no non-negative integer. */
export function parseSeed(text: string): number | undefined | null {
  if (text.trim() === "") return undefined;
  const seed = Number(text);
  return Number.isSafeInteger(seed) && seed >= 0 ? seed : null;
}

/** The sampling fields of a chat completion request. */
export function samplingFields(settings: Settings) {
  const seed = parseSeed(settings.seed);
  return {
    temperature: settings.temperature,
    top_p: settings.topP,
    max_tokens: settings.maxTokens,
    webbuild: { top_k: settings.topK, min_p: settings.minP },
    ...(typeof seed === "number" ? { seed } : {}),
  };
}

export const settings = signal<Settings>(parseSettings(stored("localStorage", KEY)));

export function change(part: Partial<Settings>): void {
  settings.value = { ...settings.value, ...part };
  store("localStorage", KEY, JSON.stringify(settings.value));
}

/** Keeps the page in the chosen theme. */
export function applyTheme(): void {
  effect(() => {
    const { theme } = settings.value;
    document.documentElement.style.colorScheme = theme === "auto" ? "light dark" : theme;
  });
}
