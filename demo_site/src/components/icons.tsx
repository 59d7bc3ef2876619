// Line icons on a 24 × 24 grid; decorative, so hidden from screen readers.

const PATHS = {
  send: "M12 19V5m-6 6 6-6 6 6",
  stop: "M7 7h10v10H7z",
  again: "M4 12a8 8 0 1 0 2.3-5.6M4 4v4.5h4.5",
  copy: "M9 9h10v10H9zM5 15V5h10",
  check: "m5 12.5 4.5 4.5L19 7.5",
  settings: "M4 8h9m6 0h1M4 16h1m6 0h9M16 5.5v5M8 13.5v5",
  compose: "M5 19h14M6.5 14.5 15.5 5.5l3 3-9 9H6.5z",
  close: "M6 6l12 12M18 6 6 18",
  down: "M12 5v14m6-6-6 6-6-6",
  chat: "M4 5.5h16v11H11l-4.5 3.5v-3.5H4z",
  chart: "M5 19.5v-6m7 6v-15m7 15v-9",
  warning: "M12 4 2.5 20h19zM12 10v4.5m0 2.5v.2",
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
