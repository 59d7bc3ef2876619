import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type AnswerStats, answering, regenerate, type Turn, turns } from "../conversation.js";
import { tokenRate, tokens } from "../format.js";
import { model } from "../model.js";
import { Icon } from "./icons.js";

/** Makes HTML of answers; it comes after the page, whose answers are plain text until then. */
const renderMarkdown = signal<((text: string) => string) | undefined>(undefined);
import("../markdown.js").then((module) => {
  renderMarkdown.value = module.renderMarkdown;
});

export function TurnList() {
  const last = turns.value.at(-1);
  if (!last) return null;
  return (
    // Not live: a screen reader gets each answer once, whole, from the page's status region.
    <div role="log" aria-live="off" aria-label="Conversation">
      <ol class="turns">
        {turns.value.map((turn) => (
          <li key={turn.id} class={`turn ${turn.role}`}>
            {turn.role === "user" ? (
              <Question turn={turn} />
            ) : (
              <Answer turn={turn} last={turn === last} />
            )}
          </li>
        ))}
      </ol>
      <FollowTheEnd turn={last} />
    </div>
  );
}

function Question({ turn }: { turn: Turn }) {
  return (
    <>
      <h2 class="visually-hidden">You</h2>
      <p class="bubble" dir="auto">
        {turn.text}
      </p>
    </>
  );
}

function Answer({ turn, last }: { turn: Turn; last: boolean }) {
  const text = turn.text.value;
  const status = turn.status.value;
  const render = renderMarkdown.value;
  const html = useMemo(() => render?.(text), [render, text]);
  return (
    <>
      <h2 class="visually-hidden">Answer</h2>
      {text === "" && status === "streaming" ? (
        <p class="thinking">
          <span />
          <span />
          <span />
          <span class="visually-hidden">Reading the prompt…</span>
        </p>
      ) : html === undefined ? (
        <div class="markdown" dir="auto">
          <p>{text}</p>
        </div>
      ) : (
        // renderMarkdown has sanitised it
        <div class="markdown" dir="auto" dangerouslySetInnerHTML={{ __html: html }} />
      )}
      {status === "failed" && (
        <p class="error" role="alert">
          <Icon name="warning" /> {turn.error}
        </p>
      )}
      {status === "length" && (
        <p class="note">
          Cut at the limit. Raise “Max tokens” in the settings, or start a new chat.
        </p>
      )}
      {turn.shortened.value && (
        <p class="note">
          The conversation is longer than this model’s context: its oldest part was left out.
        </p>
      )}
      <div class="turn-footer">
        {status !== "streaming" && text !== "" && <CopyButton text={text} />}
        {status !== "streaming" && last && (
          <button
            type="button"
            class="quiet"
            onClick={regenerate}
            disabled={answering.value || model.value.phase !== "ready"}
          >
            <Icon name="again" /> Regenerate
          </button>
        )}
        <Stats stats={turn.stats.value} stopped={status === "stopped"} />
      </div>
    </>
  );
}

function Stats({ stats, stopped }: { stats: AnswerStats | null; stopped: boolean }) {
  if (!stats) return stopped ? <p class="figures">stopped</p> : null;
  const parts = [
    stopped && "stopped",
    stats.tokensPerSecond !== null && tokenRate(stats.tokensPerSecond),
    stats.answerTokens > 0 && tokens(stats.answerTokens),
    stats.promptTokens > 0 && `prompt ${tokens(stats.promptTokens)}`,
    stats.firstTokenMs > 0 && `first after ${Math.round(stats.firstTokenMs)} ms`,
  ];
  return <p class="figures">{parts.filter(Boolean).join(" · ")}</p>;
}

function CopyButton({ text }: { text: string }) {
  const [label, setLabel] = useState("Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setLabel("Copied");
    } catch {
      setLabel("Not allowed to copy");
    }
    setTimeout(() => setLabel("Copy"), 1500);
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      <Icon name={label === "Copied" ? "check" : "copy"} /> {label}
    </button>
  );
}

/** Keeps the end in view while it grows, unless the reader has scrolled away. */
function FollowTheEnd({ turn }: { turn: Turn }) {
  const end = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  const [barHeight, setBarHeight] = useState(0);
  const showEnd = () => end.current?.scrollIntoView({ block: "end" });

  useEffect(() => {
    if (!end.current) return;
    const observer = new IntersectionObserver(
      ([entry]) => setFollowing(entry?.isIntersecting ?? true),
      { rootMargin: "0px 0px 160px 0px" },
    );
    observer.observe(end.current);
    return () => observer.disconnect();
  }, []);

  // The bar that covers the end grows with a draft, and with the dashboard.
  useEffect(() => {
    const bar = document.querySelector<HTMLElement>(".bottom-bar");
    if (!bar) return;
    const observer = new ResizeObserver(() => {
      document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`);
      setBarHeight(bar.offsetHeight);
    });
    observer.observe(bar);
    return () => observer.disconnect();
  }, []);

  const text = turn.text.value;
  const status = turn.status.value;
  // When the text grows, or the bar.
  useEffect(() => {
    if (following) showEnd();
  }, [text, status, barHeight]);
  // A new turn is always shown, once.
  useEffect(showEnd, [turn.id]);

  return (
    <div ref={end} class="end">
      {!following && (
        <button type="button" class="to-end" onClick={showEnd}>
          <Icon name="down" />
          <span class="visually-hidden">Scroll to the end</span>
        </button>
      )}
    </div>
  );
}
