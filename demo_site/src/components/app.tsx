import { effect, signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { announcement, clear, turns } from "../conversation.js";
import { model } from "../model.js";
import { EMBEDDED_PACK } from "../pack.js";
import { Composer } from "./composer.js";
import type { Dashboard as DashboardOfModel } from "./dashboard.js";
import { Icon } from "./icons.js";
import { LoadCard } from "./load_card.js";
import type { SettingsDialog as DialogOfSettings } from "./settings_dialog.js";
import { StatusLine } from "./status_line.js";
import { TurnList } from "./turn_list.js";
import { Welcome } from "./welcome.js";

/** What shows the engine at work comes when there is one. */
const dashboard = signal<typeof DashboardOfModel | undefined>(undefined);
effect(() => {
  if (model.value.phase !== "ready" || dashboard.peek()) return;
  import("./dashboard.js").then((module) => {
    dashboard.value = module.Dashboard;
  });
});

/** The dialog comes, and opens, when it is first asked for. */
const settingsDialog = signal<typeof DialogOfSettings | undefined>(undefined);

export function App() {
  const Dashboard = dashboard.value;
  const SettingsDialog = settingsDialog.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const openSettings = async () => {
    if (dialog.current) dialog.current.showModal();
    else settingsDialog.value = (await import("./settings_dialog.js")).SettingsDialog;
  };
  const { phase, packUrl } = model.value;
  const ready = phase === "ready";
  const other = packUrl !== "" && packUrl !== EMBEDDED_PACK;
  const benchmark = `bench.html${other ? `?pack=${encodeURIComponent(packUrl)}` : ""}`;
  return (
    <div class="page">
      <a class="skip-link" href="#message">
        Skip to the message box
      </a>
      <header class="top-bar">
        <h1 class="brand">
          <img src="icon.svg" alt="" width="28" height="28" />
          webbuild <span>chat</span>
        </h1>
        <div class="top-actions">
          <a class="quiet button" href={benchmark}>
            <Icon name="chart" />
            <span class="wide-only">Benchmark</span>
            <span class="visually-hidden narrow-only">Benchmark</span>
          </a>
          <button type="button" class="quiet" onClick={clear} disabled={turns.value.length === 0}>
            <Icon name="compose" />
            <span class="wide-only">New chat</span>
            <span class="visually-hidden narrow-only">New chat</span>
          </button>
          <button type="button" class="quiet" onClick={openSettings} aria-haspopup="dialog">
            <Icon name="settings" />
            <span class="wide-only">Model and settings</span>
            <span class="visually-hidden narrow-only">Model and settings</span>
          </button>
        </div>
      </header>
      <main class="conversation">
        {turns.value.length === 0 && <Welcome />}
        <TurnList />
        {!ready && <LoadCard />}
      </main>
      <footer class="bottom-bar">
        <Composer />
        <StatusLine />
        {Dashboard && <Dashboard />}
      </footer>
      {SettingsDialog && <SettingsDialog dialog={dialog} />}
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement}
      </div>
    </div>
  );
}
