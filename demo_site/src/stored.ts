// What the browser keeps for the page; where it keeps nothing, things last for the visit.

/** `sessionStorage` outlives a reload of the tab, `localStorage` the visit. */
type Area = "localStorage" | "sessionStorage";

export function stored(area: Area, key: string): string | null {
  try {
    return globalThis[area]?.getItem(key) ?? null;
  } catch {
    return null; // storage can be forbidden
  }
}

export function store(area: Area, key: string, text: string): void {
  try {
    globalThis[area].setItem(key, text);
  } catch {
    // forbidden, or full
  }
}
