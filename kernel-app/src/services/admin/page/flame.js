// Flame graph: folded stacks, one in a line with how often it was seen, as boxes whose width is their part of the samples.

import { button, make } from "./values.js";

// Boxes that are narrower than this part of the samples are left out.
const PART_MIN = 0.002;

export function flameGraph(folded) {
  const root = tree(folded);
  if (!root.count) return make("p", { className: "faint" }, "no samples: nothing ran");
  const element = make("div", { className: "flame" });
  const show = (node) => {
    const path = ancestors(node).map((above) => box(above, 1, show, "above"));
    element.replaceChildren(...path, branch(node, node.count, show));
  };
  show(root);
  return element;
}

function tree(folded) {
  const root = { name: "all", count: 0, children: new Map(), parent: null };
  for (const line of folded.split("\n")) {
    const [, stack, count] = /^(.*) (\d+)$/.exec(line) ?? [];
    if (!stack) continue;
    let node = root;
    root.count += Number(count);
    for (const name of stack.split(";")) {
      if (!node.children.has(name)) node.children.set(name, { name, count: 0, children: new Map(), parent: node });
      node = node.children.get(name);
      node.count += Number(count);
    }
  }
  return root;
}

function ancestors(node) {
  const above = [];
  for (let next = node.parent; next; next = next.parent) above.unshift(next);
  return above;
}

// A node over its children, which stand in the order of their weight.
function branch(node, all, show) {
  const children = [...node.children.values()].filter((child) => child.count / all >= PART_MIN);
  children.sort((one, other) => other.count - one.count);
  const row = make("div", { className: "row" }, ...children.map((child) => {
    const element = branch(child, all, show);
    element.style.width = `${(100 * child.count) / node.count}%`;
    return element;
  }));
  return make("div", { className: "branch" }, box(node, node.count / all, show), row);
}

function box(node, part, show, kind = "") {
  const text = `${node.name}: ${node.count} samples, ${(100 * part).toFixed(1)} %`;
  return Object.assign(button(node.name, () => show(node)), { title: text, ariaLabel: text, className: "box " + kind });
}
