/** Other engines: where they are found, and who they say they are. */

/** Where another engine is found. */
export type Address =
  /** In this page or a worker: the other end of the port is given to it. */
  | { port: MessagePort }
  /** In another tab of this origin, which shares it. */
  | { tab: string }
  /** On another machine: both go to one room of a relay. */
  | { relay: string; timeoutMs: number };

/** Who is at an end of a link. */
export interface Card {
  /** The engine's id. */
  engine: string;
  /** The model's name. */
  model: string;
  /** What two engines must agree in to read each other's keys and values. */
  kv: string;
}
