/** Bytes as people read them: `12.3 MB` (powers of ten, three significant digits). */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 999.5 && unit < units.length - 1) {
    count /= 1000;
    unit++;
  }
  const digits = unit === 0 || count >= 99.95 ? 0 : count >= 9.995 ? 1 : 2;
  return `${count.toFixed(digits)} ${units[unit]}`;
}

/** Seconds as `8 s`, `2 min 5 s` or `1 h 4 min`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

/** A rate with one decimal below 100: `53.2 tokens/s`. */
export function tokenRate(perSecond: number): string {
  return `${perSecond.toFixed(perSecond < 99.95 ? 1 : 0)} tokens/s`;
}

/** `1 token`, `1,234 tokens`. */
export function tokens(count: number): string {
  return `${count.toLocaleString("en")} token${count === 1 ? "" : "s"}`;
}

/** `5.2 million`; below a million the plain number. */
export function millions(count: number): string {
  if (count < 1e6) return count.toLocaleString("en");
  return `${(count / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} million`;
}
