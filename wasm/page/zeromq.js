// ZeroMQ sockets for pages: ZWS 2.0 (RFC 45) without a mechanism, since browsers let pages name no other subprotocol of it. Each
// frame is a message of the WebSocket, after an octet of flags; the first one of each side is its identity (see zeromq.d.ts).

const SUBPROTOCOL = "ZWS2.0";
const LAST = 0;
const MORE = 1;
const FIRST_WAIT = 100;
const LONGEST_WAIT = 5000;
const PARTS_MAX = 1024;
const bytes = new TextEncoder();

const toBytes = (part) => (typeof part === "string" ? bytes.encode(part) : new Uint8Array(part));

// One connection, which is made again when it is lost.
class Peer {
  #url;
  #socket;
  #owner;
  #wait = FIRST_WAIT;
  #retry;
  #isClosed = false;
  isOpen = false;

  constructor(url, owner) {
    this.#url = new URL(url, location.href.replace(/^http/, "ws"));
    this.#owner = owner;
    this.#begin();
  }

  #begin() {
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    let isIntroduced = false;
    let parts = [];
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send([this.#owner.identity]);
    socket.onmessage = ({ data }) => {
      const flags = data instanceof ArrayBuffer && data.byteLength ? new Uint8Array(data)[0] : undefined;
      if ((flags !== LAST && flags !== MORE) || parts.length === PARTS_MAX) return socket.close();
      parts.push(new Uint8Array(data, 1));
      if (flags === MORE) return;
      const message = parts;
      parts = [];
      if (isIntroduced) return this.#owner.take(message);
      // Its identity.
      isIntroduced = this.isOpen = true;
      this.#wait = FIRST_WAIT;
      this.#owner.opened(this);
    };
    socket.onclose = () => {
      const wasOpen = this.isOpen;
      this.isOpen = false;
      if (wasOpen) this.#owner.lost(this);
      if (this.#isClosed) return;
      // So that pages do not come all at once to a server that starts again.
      this.#retry = setTimeout(() => this.#begin(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    };
    this.#socket = socket;
  }

  send(parts) {
    parts.forEach((part, index) => {
      const frame = new Uint8Array(part.length + 1);
      frame[0] = index + 1 < parts.length ? MORE : LAST;
      frame.set(part, 1);
      this.#socket.send(frame);
    });
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket.close(1000);
  }
}

// What the kinds of sockets share.
class Socket {
  #peers = [];
  #next = 0;
  // Sends that wait for a peer, and receivers that wait for a message.
  #sends = [];
  #receivers = [];
  #received = [];
  #isClosed = false;
  // Messages that came when so many waited already.
  dropped = 0;

  constructor({ identity = "", highWaterMark = 1000 } = {}) {
    this.identity = toBytes(identity);
    this.highWaterMark = highWaterMark;
    if (this.identity.length > 255) throw new RangeError("an identity has at most 255 bytes");
  }

  // To a path of the page's own server, or a ws: or wss: URL. A socket may have several.
  connect(url) {
    this.#peers.push(new Peer(url, this));
    return this;
  }

  get isConnected() {
    return this.#peers.some((peer) => peer.isOpen);
  }

  close() {
    this.#isClosed = true;
    for (const peer of this.#peers) peer.close();
    const error = new Error("the socket is closed");
    for (const { reject } of [...this.#sends.splice(0), ...this.#receivers.splice(0)]) reject(error);
  }

  // Sends to one peer after the other; waits while there is none. Gives the peer.
  _send(parts) {
    if (this.#isClosed) return Promise.reject(new Error("the socket is closed"));
    if (this.#sends.length >= this.highWaterMark) return Promise.reject(new Error("too many messages wait for a peer"));
    return new Promise((resolve, reject) => {
      this.#sends.push({ parts: parts.map(toBytes), resolve, reject });
      this.#flush();
    });
  }

  _receive() {
    if (this.#received.length) return Promise.resolve(this.#received.shift());
    if (this.#isClosed) return Promise.reject(new Error("the socket is closed"));
    return new Promise((resolve, reject) => this.#receivers.push({ resolve, reject }));
  }

  _toAll(parts) {
    for (const peer of this.#peers) if (peer.isOpen) peer.send(parts);
  }

  #flush() {
    while (this.#sends.length) {
      const open = this.#peers.filter((peer) => peer.isOpen);
      if (!open.length) return;
      const { parts, resolve } = this.#sends.shift();
      const peer = open[this.#next++ % open.length];
      peer.send(parts);
      resolve(peer);
    }
  }

  // What peers tell.
  opened() {
    this.#flush();
  }

  lost() {}

  take(message) {
    const receiver = this.#receivers.shift();
    if (receiver) receiver.resolve(message);
    else if (this.#received.length < this.highWaterMark) this.#received.push(message);
    else this.dropped += 1;
  }
}

export class Dealer extends Socket {
  async send(...parts) {
    await this._send(parts);
  }

  receive() {
    return this._receive();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) yield await this._receive();
  }
}

export class Req extends Socket {
  #last = Promise.resolve();
  #asked;

  // The reply; one request after the other.
  request(...parts) {
    const reply = this.#last.then(() => this.#ask(parts));
    this.#last = reply.catch(() => {});
    return reply;
  }

  async #ask(parts) {
    const peer = await this._send(["", ...parts]);
    return new Promise((resolve, reject) => (this.#asked = { peer, resolve, reject }));
  }

  take([empty, ...parts]) {
    // What nobody asked for is no reply.
    if (!this.#asked || empty.length || !parts.length) return;
    this.#asked.resolve(parts);
    this.#asked = undefined;
  }

  lost(peer) {
    if (this.#asked?.peer !== peer) return;
    this.#asked.reject(new Error("the connection was lost before the reply"));
    this.#asked = undefined;
  }

  close() {
    super.close();
    this.#asked?.reject(new Error("the socket is closed"));
    this.#asked = undefined;
  }
}

export class Sub extends Socket {
  #prefixes = new Map();

  subscribe(prefix = "") {
    if (!this.#prefixes.has(prefix)) this._toAll([this.#message(1, prefix)]);
    this.#prefixes.set(prefix, toBytes(prefix));
    return this;
  }

  unsubscribe(prefix = "") {
    if (this.#prefixes.delete(prefix)) this._toAll([this.#message(0, prefix)]);
  }

  receive() {
    return this._receive();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) yield await this._receive();
  }

  opened(peer) {
    for (const prefix of this.#prefixes.keys()) peer.send([this.#message(1, prefix)]);
  }

  #message(first, prefix) {
    const topic = toBytes(prefix);
    const message = new Uint8Array(topic.length + 1);
    message[0] = first;
    message.set(topic, 1);
    return message;
  }
}
