/** What is used of the extension API, which Chromium and Firefox share but for its name. */
export interface RuntimePort {
  readonly name: string;
  postMessage(message: unknown): void;
  disconnect(): void;
  readonly onMessage: Listeners<(message: unknown) => void>;
  readonly onDisconnect: Listeners<() => void>;
}

interface Listeners<F> {
  addListener(listener: F): void;
  removeListener(listener: F): void;
}

export interface Runtime {
  connect(id: string | undefined, info: { name: string }): RuntimePort;
  sendMessage(id: string | undefined, message: unknown): Promise<unknown>;
  getURL(path: string): string;
  readonly onConnect: Listeners<(port: RuntimePort) => void>;
  readonly onConnectExternal?: Listeners<(port: RuntimePort) => void>;
  readonly onMessage: Listeners<OnMessage>;
  readonly onMessageExternal?: Listeners<OnMessage>;
}

/** true: `answer` will be called later. */
type OnMessage = (
  message: unknown,
  sender: unknown,
  answer: (answer: unknown) => void,
) => true | undefined;

export interface Offscreen {
  hasDocument(): Promise<boolean>;
  createDocument(options: { url: string; reasons: string[]; justification: string }): Promise<void>;
}

/** The extension API. @returns undefined in a page that may use none */
export function extensionApi(): { runtime: Runtime; offscreen?: Offscreen } | undefined {
  const { chrome } = globalThis as {
    chrome?: { runtime?: Runtime; offscreen?: Offscreen };
  };
  return chrome?.runtime?.connect ? (chrome as { runtime: Runtime }) : undefined;
}
