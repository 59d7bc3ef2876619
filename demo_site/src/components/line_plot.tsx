/** One line of a plot, newest point last. */
export interface Line {
  label: string;
  /** Milliseconds, and a value of at least 0. */
  points: readonly (readonly [at: number, value: number])[];
}

const WIDTH = 240;
const HEIGHT = 48;

/** Lines over the last `span` milliseconds; at most two, told apart by form as well as colour. */
export function LinePlot({ lines, span, top }: { lines: Line[]; span: number; top: number }) {
  const now = Math.max(...lines.map(({ points }) => points.at(-1)?.[0] ?? 0));
  const place = ([at, value]: readonly [number, number]) => {
    const x = WIDTH * (1 - (now - at) / span);
    const y = HEIGHT * (1 - Math.min(1, value / (top || 1)));
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  return (
    <svg
      class="line-plot"
      viewBox={`0 -1 ${WIDTH} ${HEIGHT + 2}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {lines.map(({ label, points }) => (
        <polyline key={label} points={points.map(place).join(" ")} />
      ))}
    </svg>
  );
}
