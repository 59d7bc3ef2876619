import { bytes } from "../format.js";
import { model } from "../model.js";

/** What runs, where, and how much memory it takes. */
export function StatusLine() {
  const state = model.value;
  if (state.phase !== "ready")
    return <p class="status-line">Runs on your device. Nothing leaves this page.</p>;
  const { model: shown, quantization, tier, adapter, bytes: memory } = state.engine.info;
  return (
    <p class="status-line">
      <strong>{shown.name}</strong> · {quantization} · {tier} tier on {adapterName(adapter)} ·{" "}
      {bytes(memory.total)} of GPU memory
    </p>
  );
}

export function adapterName(adapter: {
  vendor: string;
  architecture: string;
  description: string;
}) {
  return (
    adapter.description ||
    [adapter.vendor, adapter.architecture].filter(Boolean).join(" ") ||
    "this GPU"
  );
}
