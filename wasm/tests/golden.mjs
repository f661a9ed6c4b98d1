// Lets the module of WebAssembly have the conversation of golden.json: node golden.mjs MODULE. Its bytes must be those that the
// same code says on the host.
import { readFileSync } from "node:fs";
import assert from "node:assert/strict";

const beside = (name) => readFileSync(new URL(name, import.meta.url));
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]));
const core = instance.exports;

const put = (bytes) => {
  // Memory that grows is another buffer.
  const place = core.reserve(bytes.length);
  new Uint8Array(core.memory.buffer, place, bytes.length).set(bytes);
};
const take = (length) => Buffer.from(core.memory.buffer, core.output(), length);
const json = (length) => (length ? JSON.parse(take(length)) : []);

const does = {
  request({ request }) {
    put(Buffer.from(JSON.stringify(request)));
    return json(core.request());
  },
  transmit: () => take(core.transmit(1000)).toString("base64"),
  receive({ bytes }) {
    put(Buffer.from(bytes, "base64"));
    core.receive(1000);
    return json(core.events());
  },
};

put(beside("demo.schema"));
assert.equal(core.begin(), 0);
const steps = JSON.parse(beside("golden.json"));
for (const step of steps) assert.deepEqual(does[step.does](step), step.gives, JSON.stringify(step));
console.log(`all checked: ${steps.length} steps`);
