// Cap'n Proto RPC for pages: objects of a server, called as objects of the page. The protocol runs in aqueduct.wasm; this
// carries bytes between it and a WebSocket, and makes objects and promises of what it says (see aqueduct.d.ts).

const SUBPROTOCOL = "capnp-rpc";
const SECRET = Symbol("what is behind a capability");
const text = new TextDecoder();
const bytes = new TextEncoder();

// A call, or a connection, failed. `kind` is failed, overloaded, disconnected or unimplemented.
export class RpcError extends Error {
  constructor(kind, reason) {
    super(reason);
    this.name = "RpcError";
    this.kind = kind;
  }
}

// Connects to a path of the page's own server, or to a ws: or wss: URL.
export async function connect(url, { schema, module = new URL("aqueduct.wasm", import.meta.url) }) {
  const [compiled, interfaces] = await Promise.all([compile(module), load(schema)]);
  const { exports } = await WebAssembly.instantiate(compiled);
  const socket = new WebSocket(new URL(url, location.href.replace(/^http/, "ws")), SUBPROTOCOL);
  socket.binaryType = "arraybuffer";
  const vat = new Vat(new Core(exports, interfaces), socket);
  await new Promise((opened, failed) => {
    socket.onopen = opened;
    vat.closed.then(failed);
  });
  return vat;
}

async function compile(module) {
  return module instanceof WebAssembly.Module ? module : WebAssembly.compile(await load(module));
}

async function load(source) {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return new Uint8Array(source);
  const response = await fetch(source);
  if (!response.ok) throw new RpcError("failed", `${source}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

// The module's functions, with their memory.
class Core {
  #exports;

  constructor(exports, schema) {
    this.#exports = exports;
    this.#put(schema);
    const problem = text.decode(this.#take(exports.begin()));
    if (problem) throw new RpcError("failed", problem);
  }

  // What is asked for as JSON, and its answer.
  ask(request) {
    this.#put(bytes.encode(JSON.stringify(request)));
    const answer = JSON.parse(text.decode(this.#take(this.#exports.request())));
    if (answer?.error) throw new RpcError("failed", answer.error);
    return answer;
  }

  receive(data) {
    this.#put(new Uint8Array(data));
    this.#exports.receive(performance.now());
  }

  // The next message for the server; empty if there is none.
  transmit() {
    // A copy: the memory is used again before the socket has sent it.
    return this.#take(this.#exports.transmit(performance.now())).slice();
  }

  events() {
    const length = this.#exports.events();
    return length ? JSON.parse(text.decode(this.#take(length))) : [];
  }

  tick() {
    return this.#exports.tick(performance.now());
  }

  end(reason) {
    this.#put(bytes.encode(reason));
    this.#exports.end();
  }

  #put(input) {
    const place = this.#exports.reserve(input.length);
    new Uint8Array(this.#exports.memory.buffer, place, input.length).set(input);
  }

  #take(length) {
    return new Uint8Array(this.#exports.memory.buffer, this.#exports.output(), length);
  }
}

// One connection: what the server offers, and what the page offers to it.
class Vat {
  #core;
  #socket;
  #calls = new Map();
  #objects = new Map();
  #received = new Set();
  #lastObject = 0;
  // The next turn, and the one after it if nothing happens before.
  #soon;
  #later;
  #end;
  #isOver = false;
  // What nobody on the page can use any more is let go, some time.
  #forgotten = new FinalizationRegistry((request) => this.#ask(request));

  // Fulfilled with the reason once the connection is over.
  closed = new Promise((end) => (this.#end = end));

  constructor(core, socket) {
    this.#core = core;
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      core.receive(data);
      this.#turn();
    };
    socket.onclose = ({ code, reason }) => this.#over(`the connection ended (${code}) ${reason}`.trim());
  }

  // What the server offers to everybody, as this interface of the schema.
  bootstrap(name) {
    return this.#capability(this.#ask({ do: "bootstrap", interface: name }).$cap);
  }

  // The same capability as an interface that the schema does not say where it came from.
  as(capability, name) {
    return this.#capability(this.#ask({ do: "as", cap: this.#number(capability), interface: name }).$cap);
  }

  // An object of the page's, for the server to call. Its methods take an object of parameters and give one of results, or a
  // promise of it; `released` is called when the server holds it no more.
  export(name, object) {
    const number = ++this.#lastObject;
    this.#objects.set(number, object);
    return this.#capability(this.#ask({ do: "export", object: number, interface: name }).$cap);
  }

  // Lets go of a capability, or gives up a call, before the browser finds that nobody can use it.
  release(what) {
    const { number, call } = what[SECRET];
    this.#forgotten.unregister(what[SECRET]);
    if (call === undefined) return void this.#ask({ do: "release", cap: number });
    this.#ask({ do: "finish", call });
    this.#calls.get(call)?.reject(new RpcError("failed", "the page gave the call up"));
    this.#calls.delete(call);
  }

  close() {
    this.#ask({ do: "close" });
    this.#socket.close(1000);
  }

  #ask(request) {
    if (this.#isOver) throw new RpcError("disconnected", "the connection is over");
    const answer = this.#core.ask(request);
    // What is asked for in one go leaves at once.
    this.#soon ??= setTimeout(() => this.#turn());
    return answer;
  }

  // Does what there is to do, and looks again when the vat says.
  #turn() {
    this.#stopTimers();
    if (this.#isOver) return;
    const wait = this.#core.tick();
    for (const event of this.#core.events()) this.#handle(event);
    if (this.#isOver) return;
    this.#send();
    if (wait >= 0) this.#later = setTimeout(() => this.#turn(), Math.max(wait, 10));
  }

  // A message of the vat is one of the WebSocket.
  #send() {
    for (let output; (output = this.#core.transmit()).length; ) {
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(output);
      else if (this.#socket.readyState === WebSocket.CONNECTING)
        this.#socket.addEventListener("open", () => this.#socket.send(output), { once: true });
    }
  }

  #stopTimers() {
    clearTimeout(this.#soon);
    clearTimeout(this.#later);
    this.#soon = this.#later = undefined;
  }

  #handle(event) {
    const call = this.#calls.get(event.call);
    switch (event.event) {
      case "returned":
        return call?.resolve(this.#plain(event.results));
      case "failed":
        return call?.reject(new RpcError(event.kind, event.reason));
      case "call":
        return void this.#serve(event);
      case "cancelled":
        return void this.#received.delete(event.call);
      case "released":
        this.#objects.get(event.object)?.released?.();
        return void this.#objects.delete(event.object);
      case "closed":
        return this.#over(event.reason);
    }
  }

  async #serve({ call, object, method, params }) {
    this.#received.add(call);
    let answer;
    try {
      const target = this.#objects.get(object);
      if (typeof target?.[method] !== "function") throw new RpcError("unimplemented", `the page has no ${method}`);
      answer = { do: "reply", results: this.#json((await target[method](this.#plain(params))) ?? {}) };
    } catch (error) {
      answer = { do: "fail", kind: error.kind ?? "failed", reason: String(error.message ?? error) };
    }
    if (!this.#received.delete(call) || this.#isOver) return;
    try {
      this.#ask({ ...answer, call });
    } catch (error) {
      console.warn(`${method} answers what is not in the schema: ${error.message}`);
    }
  }

  #over(reason) {
    if (this.#isOver) return;
    this.#send();
    this.#core.end(reason);
    this.#isOver = true;
    this.#stopTimers();
    for (const call of this.#calls.values()) call.reject(new RpcError("disconnected", reason));
    this.#calls.clear();
    this.#socket.close();
    this.#end(reason);
  }

  // An object whose properties are methods of the server's.
  #capability(number) {
    const secret = { number };
    const capability = new Proxy(secret, {
      get: (_, name) => {
        if (name === SECRET) return secret;
        // A capability is no promise, although it has every other method.
        if (typeof name !== "string" || name === "then") return undefined;
        return (params = {}) => this.#call(number, name, params);
      },
    });
    this.#forgotten.register(capability, { do: "release", cap: number }, secret);
    return capability;
  }

  #call(cap, method, params) {
    const { call } = this.#ask({ do: "call", cap, method, params: this.#json(params) });
    const results = new Promise((resolve, reject) => this.#calls.set(call, { resolve, reject }));
    const secret = { call };
    const done = () => {
      if (this.#calls.delete(call) && !this.#isOver) this.#ask({ do: "finish", call });
    };
    // Whoever does not ask for the results is not told that there are none.
    results.then((value) => ((secret.value = value), done()), done);
    return this.#results(secret, results, []);
  }

  // Results that may not be there yet: a promise of them, and of what is in them, whose methods can be called at once.
  #results(secret, results, path) {
    const then = (resolve, reject) =>
      results.then((value) => path.reduce((inside, name) => inside?.[name], value)).then(resolve, reject);
    return new Proxy(function () {}, {
      get: (_, name) => {
        if (name === SECRET) return path.length ? this.#inside(secret, path)[SECRET] : secret;
        if (name === "then") return then;
        if (name === "catch") return (reject) => then(undefined, reject);
        if (name === "finally") return (act) => results.finally(act);
        if (typeof name !== "string") return undefined;
        return this.#results(secret, results, [...path, name]);
      },
      apply: (_, __, [params]) => this.#inside(secret, path.slice(0, -1))[path.at(-1)](params),
    });
  }

  // The capability at a path of results, which need not be there yet.
  #inside(secret, path) {
    if (secret.value) return path.reduce((inside, name) => inside?.[name], secret.value);
    return this.#capability(this.#ask({ do: "pipeline", call: secret.call, path }).$cap);
  }

  #number(capability) {
    const secret = capability?.[SECRET];
    if (secret?.number === undefined) throw new RpcError("failed", "that is no capability");
    return secret.number;
  }

  // What the page says, as the module takes it.
  #json(value) {
    if (typeof value === "bigint") return { $int: value.toString() };
    if (typeof value === "number" && !Number.isFinite(value)) return { $float: String(value) };
    if (value === null || (typeof value !== "object" && typeof value !== "function")) return value ?? null;
    if (value[SECRET]) return { $cap: this.#number(value) };
    if (value instanceof Uint8Array) return { $data: toBase64(value) };
    if (Array.isArray(value)) return value.map((item) => this.#json(item));
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.#json(item)]));
  }

  // The other way.
  #plain(value) {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((item) => this.#plain(item));
    if ("$cap" in value) return this.#capability(value.$cap);
    if ("$int" in value) return BigInt(value.$int);
    if ("$float" in value) return Number(value.$float);
    if ("$data" in value) return Uint8Array.from(atob(value.$data), (letter) => letter.charCodeAt(0));
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.#plain(item)]));
  }
}

function toBase64(data) {
  const parts = [];
  // Functions take so many arguments at once.
  for (let at = 0; at < data.length; at += 8192) parts.push(String.fromCharCode(...data.subarray(at, at + 8192)));
  return btoa(parts.join(""));
}
