import { useEffect, useRef, useState } from "preact/hooks";
import type { BenchReport } from "webbuild/bench";
import { Icon } from "../components/icons.js";
import { adapterName } from "../components/status_line.js";
import { bytes, tokens } from "../format.js";
import { BarPlot } from "./bar_plot.js";
import { plotsOf, sideOf, tableOf } from "./figures.js";

/** A report as plots, a table, and the JSON that `webbuild bench` reads. */
export function Results({ report }: { report: BenchReport }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.scrollIntoView({ block: "start" });
    heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <section class="results" aria-label="Result">
      <div class="card-row">
        <h2 ref={heading} tabIndex={-1}>
          Result
        </h2>
        <Buttons report={report} />
      </div>
      <About report={report} />
      <div class="plots">
        {plotsOf(report).map((plot) => (
          <BarPlot key={plot.title} plot={plot} />
        ))}
      </div>
      <Table report={report} />
      {!sideOf(report).timestamps && (
        <p class="note">
          This adapter offers no <code>timestamp-query</code>: launches can’t be timed.
        </p>
      )}
      <p class="note">
        <code>webbuild bench report.json --plot bench.svg</code> reads the JSON;{" "}
        <code>webbuild bench one.json two.json</code> compares two devices.
      </p>
    </section>
  );
}

function Buttons({ report }: { report: BenchReport }) {
  const [copied, setCopied] = useState(false);
  const [problem, setProblem] = useState("");
  const json = () => `${JSON.stringify(report, null, 2)}\n`;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(json());
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch (error) {
      setProblem(`It could not be copied: ${error instanceof Error ? error.message : error}`);
    }
  };
  const download = () => {
    const url = URL.createObjectURL(new Blob([json()], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `bench-${sideOf(report).model.replace(/[^\w.-]+/g, "-")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  return (
    <div class="buttons">
      <button type="button" onClick={copy}>
        <Icon name={copied ? "check" : "copy"} /> {copied ? "Copied" : "Copy JSON"}
      </button>
      <button type="button" onClick={download}>
        <Icon name="down" /> Download JSON
      </button>
      {problem && (
        <p role="alert" class="error">
          {problem}
        </p>
      )}
    </div>
  );
}

function About({ report }: { report: BenchReport }) {
  const side = sideOf(report);
  const { bandwidth } = side;
  const rows: [string, string][] = [
    ["Model", `${side.model}, ${side.quantization}, ${side.tier} tier`],
    ["Adapter", adapterName(side.adapter)],
    ["Browser", side.where],
    [
      "Loaded for",
      `${tokens(side.context_length)} of context, ${bytes(side.gpu_bytes)} on the GPU`,
    ],
  ];
  if (bandwidth) {
    const { copy_bytes_per_s: copy, read_bytes_per_s: read } = bandwidth;
    rows.push(["Memory", `${bytes(copy)}/s copied (read + written), ${bytes(read)}/s read`]);
  }
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Table({ report }: { report: BenchReport }) {
  const { columns, rows } = tableOf(report);
  return (
    // A region that scrolls must be reachable from the keyboard.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
    <section class="table-scroll" aria-label="Table of all figures" tabIndex={0}>
      <table>
        <caption>Rates of the best round; calls and bytes per decoded token</caption>
        <thead>
          <tr>
            <th scope="col">Tokens in the context</th>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, cells }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {cells.map((cell, i) => (
                <td key={columns[i]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
