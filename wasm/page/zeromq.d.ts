/** ZeroMQ sockets for pages, over WebSockets (ZWS 2.0, https://rfc.zeromq.org/spec/45/, without a mechanism). */

/** A part of a message; text is sent as UTF-8. */
export type Part = string | Uint8Array | ArrayBuffer;

export interface Options {
  /** By which a ROUTER knows this socket: at most 255 bytes. Default none. */
  identity?: Part;
  /** Messages that wait to be sent while no peer is there, beyond which sending fails; and those that wait to be received, beyond
   * which they are dropped. Default 1000. */
  highWaterMark?: number;
}

declare class Socket {
  constructor(options?: Options);
  /** Connects to a path of the page's own server, or to a ws: or wss: URL, again and again when it is lost. */
  connect(url: string | URL): this;
  /** Whether a peer is there. */
  readonly isConnected: boolean;
  /** Messages that were dropped. */
  readonly dropped: number;
  /** Ends all connections; who waits is rejected. */
  close(): void;
}

/** Sends to one peer after the other, and receives from all. */
export class Dealer extends Socket {
  /** Fulfilled when the message has left for a peer. */
  send(...parts: Part[]): Promise<void>;
  receive(): Promise<Uint8Array[]>;
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array[]>;
}

/** Asks one question after the other. */
export class Req extends Socket {
  /** The parts of the reply. Rejected if the connection is lost before it. */
  request(...parts: Part[]): Promise<Uint8Array[]>;
}

/** Receives what begins with a prefix that it subscribed to. */
export class Sub extends Socket {
  /** To messages that begin so; without a prefix to all. */
  subscribe(prefix?: string): this;
  unsubscribe(prefix?: string): void;
  receive(): Promise<Uint8Array[]>;
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array[]>;
}
