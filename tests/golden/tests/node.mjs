// Runs the golden files of the protocol cores in the module of WebAssembly: node node.mjs MODULE. What comes of each case has to
// be what comes of it on the host.
import { readFileSync, readdirSync } from "node:fs";
import assert from "node:assert/strict";

const root = new URL("../../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]));
const { memory, reserve, run, output } = instance.exports;

const gives = (core, piece, test) => {
  const asked = Buffer.from(JSON.stringify({ core, piece, case: test }));
  // Memory that grows is another buffer.
  const place = reserve(asked.length);
  new Uint8Array(memory.buffer, place, asked.length).set(asked);
  const length = run();
  return JSON.parse(Buffer.from(memory.buffer, output(), length));
};

// 2 ** 31 - 1 bytes are all.
const pieces = [2 ** 31 - 1, 1, 7];
const vectors = "tests/golden/vectors/";
for (const file of readdirSync(new URL(vectors, root)).sort()) {
  const core = file.replace(".json", "");
  const cases = JSON.parse(read(vectors + file));
  for (const test of cases)
    for (const piece of pieces)
      assert.deepEqual(gives(core, piece, test), test.gives, `${core}: ${test.name}`);
  console.log(`${core}: ${cases.length} cases`);
}
const scripts = "crates/tcp/tests/scripts/";
const names = readdirSync(new URL(scripts, root));
for (const name of names)
  assert.deepEqual(gives("tcp", 1, { script: read(scripts + name) }), [], `tcp: ${name}`);
console.log(`tcp: ${names.length} cases`);
