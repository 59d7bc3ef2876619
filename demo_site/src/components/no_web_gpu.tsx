import { adviceFor } from "../support.js";
import { Icon } from "./icons.js";
import { Reasons } from "./reasons.js";

/** What to do, browser by browser. */
export function NoWebGpu({ reasons }: { reasons: string[] }) {
  const [mine, ...others] = adviceFor(navigator.userAgent);
  return (
    <>
      <h2>
        <Icon name="warning" /> This browser offers no WebGPU
      </h2>
      {!isSecureContext && (
        <p>
          This page was opened over plain HTTP. WebGPU needs <strong>https</strong> or{" "}
          <strong>localhost</strong>: that is probably all.
        </p>
      )}
      <p>The model runs on the GPU and needs WebGPU for that. What usually helps:</p>
      <h3>{mine.browser}</h3>
      <Reasons reasons={mine.steps} />
      <details>
        <summary>Other browsers</summary>
        {others.map(({ browser, steps }) => (
          <div key={browser}>
            <h3>{browser}</h3>
            <Reasons reasons={steps} />
          </div>
        ))}
      </details>
      {reasons.length > 0 && (
        <details>
          <summary>What the browser said</summary>
          <Reasons reasons={reasons} />
        </details>
      )}
      <div class="buttons">
        <button type="button" class="primary" onClick={() => location.reload()}>
          Try again
        </button>
      </div>
    </>
  );
}
