// jszmq, another implementation of ZWS 2.0, with our sockets: node jszmq.mjs MODULES PEER ADDRESS. Its sockets connect to the
// peer that serves at the address, and then serve another one, which connects to them.
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { spawn } from "node:child_process";
import assert from "node:assert/strict";

const [modules, peer, address] = process.argv.slice(2);
const zmq = createRequire(`${modules}/`)("jszmq");

// All messages of a socket, in order.
const heard = (socket) => {
  const [messages, waiting] = [[], []];
  socket.on("message", (...parts) => {
    const texts = parts.map((part) => part.toString("latin1"));
    waiting.length ? waiting.shift()(texts) : messages.push(texts);
  });
  return () => (messages.length ? messages.shift() : new Promise((fulfil) => waiting.push(fulfil)));
};
const connect = (Type, path) => {
  const socket = new Type();
  socket.connect(`ws://${address}${path}`);
  return socket;
};

const req = connect(zmq.Req, "/rep");
const reply = heard(req);
for (const text of ["hello", "", "x".repeat(100_000)]) {
  req.send(text);
  assert.deepEqual(await reply(), [text]);
}

const dealer = connect(zmq.Dealer, "/router");
const answer = heard(dealer);
for (let number = 0; number < 100; number += 1) {
  dealer.send([`${number}`, Buffer.from([number, 0xff])]);
  assert.deepEqual(await answer(), [`${number}`, String.fromCharCode(number, 0xff)]);
}

const [push, pull] = [connect(zmq.Push, "/pull"), connect(zmq.Pull, "/push")];
const passed = heard(pull);
for (let number = 0; number < 100; number += 1) {
  push.send(`${number}`);
  assert.deepEqual(await passed(), [`${number}`]);
}

const sub = connect(zmq.Sub, "/pub");
sub.subscribe("weather");
const news = heard(sub);
for (let count = 0; count < 5; count += 1) assert.deepEqual(await news(), ["weather sunny"]);
for (const socket of [req, dealer, push, pull, sub]) socket.close();

// The other way.
const server = createServer();
await new Promise((fulfil) => server.listen(0, "127.0.0.1", fulfil));
const here = `127.0.0.1:${server.address().port}`;
const bind = (Type, path) => {
  const socket = new Type();
  socket.bind(`ws://${here}${path}`, server);
  return socket;
};
const [rep, router] = [bind(zmq.Rep, "/rep"), bind(zmq.Router, "/router")];
rep.on("message", (...parts) => rep.send(parts));
router.on("message", (...parts) => router.send(parts));
const [pulled, pushed] = [bind(zmq.Pull, "/pull"), bind(zmq.Push, "/push")];
pulled.on("message", (...parts) => pushed.send(parts));
const publisher = bind(zmq.Pub, "/pub");
setInterval(() => ["sports 1:0", "weather sunny"].forEach((text) => publisher.send(text)), 20);

const child = spawn(peer, ["zws-ask", here], { stdio: "inherit" });
const status = await new Promise((fulfil) => child.on("exit", fulfil));
assert.equal(status, 0, "our sockets with those of jszmq");
console.log("both ways");
process.exit(0);
