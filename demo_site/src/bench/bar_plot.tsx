import type { Plot } from "./figures.js";

/** Horizontal bars, each with its name and its figure in words. */
export function BarPlot({ plot: { title, note, bars, full } }: { plot: Plot }) {
  return (
    <figure class="plot">
      <figcaption>
        <h3>{title}</h3>
        <p class="figures">{note}</p>
      </figcaption>
      <ul>
        {bars.map(({ label, value, text }) => (
          <li key={label}>
            <span class="bar-label">{label}</span>
            <span class="bar-text">{text}</span>
            <span class="track" aria-hidden="true">
              <span class="bar" style={{ inlineSize: `${(100 * value) / full}%` }} />
            </span>
          </li>
        ))}
      </ul>
    </figure>
  );
}
