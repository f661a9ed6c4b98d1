// The example page: a sum that is worked out by objects of the server, and its counters while they change.
import { connect } from "./aqueduct.js";
import { Req } from "./zeromq.js";

const element = (id) => document.getElementById(id);
const OPERATORS = { "+": "add", "-": "subtract", "*": "multiply", "/": "divide" };

const vat = await connect("/rpc", { schema: "appliance.schema" }).catch((reason) => {
  element("state").textContent = `not connected: ${reason.message ?? reason}`;
  throw reason;
});
vat.closed.then((reason) => (element("state").textContent = `the connection is over: ${reason}`));

const directory = vat.bootstrap("Directory");
const service = (name, kind) => vat.as(directory.get({ name }).service, kind);
const calculator = service("calculator", "Calculator");
const counters = service("counters", "Counters");
directory.list().then(({ services }) => {
  element("state").textContent = `connected; it offers ${services.map((entry) => entry.name).join(", ")}`;
});

// A function of the page's own, which the server calls.
let calls = 0;
const ownMultiply = vat.export("Calculator.Function", {
  call({ operands }) {
    calls += 1;
    return { number: operands.reduce((product, operand) => product * operand) };
  },
});

// A value of the server's for each part of a sum, made by calls that wait for nothing.
function value(tree) {
  if (typeof tree === "number") return calculator.value({ number: tree }).value;
  const { operator, operands } = tree;
  const isOwn = operator === "*" && element("own").checked;
  const done = isOwn ? ownMultiply : calculator.function({ operator: OPERATORS[operator] }).function;
  return calculator.apply({ function: done, operands: operands.map(value) }).value;
}

// A sum as a tree of operators, each of which binds as usual.
function parse(line) {
  const words = line.match(/\d+(\.\d+)?|\S/g) ?? [];
  const operand = () => {
    const word = words.shift();
    if (word === "(") {
      const inside = level(["+", "-"]);
      if (words.shift() !== ")") throw new Error("a bracket is not closed");
      return inside;
    }
    if (word === "-") return { operator: "-", operands: [0, operand()] };
    if (!/^\d/.test(word ?? "")) throw new Error(word ? `${word} is no number` : "a number is missing");
    return Number(word);
  };
  const level = (operators) => {
    const next = operators[0] === "+" ? () => level(["*", "/"]) : operand;
    let tree = next();
    while (operators.includes(words[0])) tree = { operator: words.shift(), operands: [tree, next()] };
    return tree;
  };
  const tree = level(["+", "-"]);
  if (words.length) throw new Error(`${words[0]} is too much`);
  return tree;
}

element("sum").addEventListener("submit", async (event) => {
  event.preventDefault();
  const begin = performance.now();
  calls = 0;
  try {
    const { number } = await value(parse(element("line").value)).read();
    element("value").textContent = number;
    const took = `${(performance.now() - begin).toFixed(1)} ms`;
    element("how").textContent = calls ? `${took}; the server called this page ${calls} times` : took;
  } catch (error) {
    element("value").textContent = "";
    element("how").textContent = error.message;
  }
});

// The service takes and gives CBOR (RFC 8949), after a letter: {"upper": TEXT} is answered with a text.
const req = new Req().connect("/zmq");
const MAP_OF_ONE = 0xa1;
const TEXT = 0x60;

function cborText(text) {
  const content = new TextEncoder().encode(text);
  const { length } = content;
  const head = length < 24 ? [TEXT + length] : length < 256 ? [TEXT + 24, length] : [TEXT + 25, length >> 8, length & 255];
  return [...head, ...content];
}

function textOfCbor(item) {
  const length = item[0] - TEXT;
  if (!(length >= 0 && length < 26)) throw new Error("the reply is no text");
  return new TextDecoder().decode(item.subarray(length < 24 ? 1 : length === 24 ? 2 : 3));
}

element("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = element("question").value.slice(0, 1000);
  const question = [MAP_OF_ONE, ...cborText("upper"), ...cborText(text)];
  const [reply] = await req.request(new Uint8Array(["p".charCodeAt(0), ...question])).catch((error) => [error]);
  element("reply").textContent = reply instanceof Error ? reply.message : textOfCbor(reply.subarray(1));
});

// The server tells this object what its counters are, and waits for it before it tells again.
let last = { time: 0, values: new Map() };
const watcher = vat.export("Counters.Watcher", {
  update({ counters }) {
    const [time, values] = [performance.now(), new Map()];
    const rows = [];
    for (const { name, labels, value, isCounter } of counters) {
      const key = labels ? `${name} {${labels}}` : name;
      values.set(key, value);
      if (!key.includes(element("filter").value)) continue;
      const before = last.values.get(key);
      const rate = isCounter && before !== undefined ? Number(value - before) / ((time - last.time) / 1000) : undefined;
      rows.push([key, value.toLocaleString(), rate?.toFixed(1) ?? ""]);
    }
    last = { time, values };
    element("counters").replaceChildren(...rows.map(row));
  },
});

function row(cells) {
  const tr = document.createElement("tr");
  for (const cell of cells) tr.insertCell().textContent = cell;
  return tr;
}

let following;
function follow() {
  following = counters.follow({ watcher, intervalMilliseconds: 1000 });
  following.catch((error) => {
    if (following) element("state").textContent = `no counters: ${error.message}`;
  });
}
element("follow").addEventListener("click", ({ target }) => {
  const [call, isOn] = [following, !following];
  following = undefined;
  if (isOn) follow();
  else vat.release(call);
  target.textContent = isOn ? "Stop" : "Follow";
  target.setAttribute("aria-pressed", isOn);
});
follow();
