// Values and elements: what the API tells, as people read it.

export const byId = (id) => document.getElementById(id);

// An element with these properties, and these inside.
export function make(tag, properties = {}, ...inside) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
}

export function button(text, onclick) {
  return make("button", { type: "button", onclick }, text);
}

// A choice among [value, text]s.
export function choice(label, options, value) {
  const select = make("select", { ariaLabel: label },
    ...options.map(([value, text]) => make("option", { value }, text)));
  select.value = value;
  return select;
}

export class Refused extends Error {
  constructor(status, text) {
    super(status === 401 ? "the token is needed" : text || `status ${status}`);
    this.status = status;
  }
}

export async function ask(path, options) {
  const answer = await fetch("api/v1/" + path, options);
  if (!answer.ok) throw new Refused(answer.status, (await answer.text()).trim());
  return answer;
}

// The rows of a table.
export const rows = async (table) => (await ask(table)).json();

// A table that this appliance does not have shows none.
export function absent(error) {
  if (error.status === 404) return [];
  throw error;
}

// Whether connections are of this appliance's own network stack, which alone draws their window graphs. It has cards then.
let isOwn;
export async function ownStack() {
  isOwn ??= (await rows("cards").catch(absent)).length > 0;
  return isOwn;
}

// Of a connection, as ownStack() said before: what is half open or in TIME-WAIT has none.
export const hasWindowGraph = (row) => Boolean(isOwn) && row.age_ms !== null;

// A value by the unit in its column's name.
export function shown(name, value) {
  if (value === null || value === undefined) return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "object") return JSON.stringify(value);
  if (typeof value !== "number") return String(value);
  if (name.endsWith("_us")) return duration(value / 1e6);
  if (name.endsWith("_ms")) return duration(value / 1e3);
  if (name.endsWith("_bytes_per_second")) return bytes(value) + "B/s";
  if (name.endsWith("_per_second")) return Math.round(value) + "/s";
  if (name.endsWith("_bytes")) return bytes(value) + "B";
  return String(value);
}

export function duration(seconds) {
  if (seconds < 1e-3) return (seconds * 1e6).toFixed(0) + " µs";
  if (seconds < 1) return (seconds * 1e3).toFixed(1) + " ms";
  if (seconds < 100) return seconds.toFixed(1) + " s";
  if (seconds < 7200) return (seconds / 60).toFixed(0) + " min";
  return seconds < 172800 ? (seconds / 3600).toFixed(1) + " h" : (seconds / 86400).toFixed(1) + " d";
}

export function bytes(count) {
  const units = [" ", " Ki", " Mi", " Gi", " Ti"];
  let unit = 0;
  while (count >= 10240 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return (unit ? count.toFixed(1) : String(Math.round(count))) + units[unit];
}

export function heading(name) {
  return name.replace(/_(us|ms|bytes|bytes_per_second)$/, "").replaceAll("_", " ");
}

// How each table is sorted, for as long as the page is open.
const sorting = new Map();

// A table of rows; what is in the cells is text, unless `cells` makes an element of it. A click on a heading sorts, and has
// `redraw` called.
export function table(name, list, { columns, cells = {}, redraw }) {
  if (!list.length) return make("p", { className: "faint" }, "none");
  const own = (columns || Object.keys(list[0])).filter((column) => column in list[0] || column in cells);
  const by = sorting.get(name);
  const head = own.map((column) => {
    if (!(column in list[0])) return make("th", { scope: "col" }, heading(column));
    const sort = button(heading(column), () => {
      sorting.set(name, { column, way: by?.column === column ? -by.way : 1 });
      redraw();
    });
    const cell = make("th", { scope: "col" }, sort);
    if (by?.column === column) cell.setAttribute("aria-sort", by.way > 0 ? "descending" : "ascending");
    return cell;
  });
  const body = sorted(list, by).map((row) => make("tr", {}, ...own.map((column) => {
    const text = shown(column, row[column]);
    const kind = typeof row[column] === "number" ? "number" : text.length > 60 ? "long" : "";
    return make("td", { className: kind }, cells[column] ? cells[column](row, text) : text);
  })));
  return make("div", { className: "scroll" },
    make("table", { className: name }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
}

function sorted(list, by) {
  if (!by) return list;
  const rank = (row) => (row[by.column] === null ? -Infinity : row[by.column]);
  return [...list].sort((one, other) => (rank(one) < rank(other) ? 1 : rank(one) > rank(other) ? -1 : 0) * by.way);
}
