// Draws only the rows that are on the screen, so that 10,000 stay smooth.

import { $ } from "./dom.js";
import { draw, waitText } from "./row.js";

const MORE = 6; // rows above and below the screen
const drawn = new Map(); // row -> {item, version, text}
let shown = [];

const rowHeight = () => parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));

export function show(rows) {
  shown = rows;
  $("rows").style.height = `${rows.length * rowHeight()}px`;
  $("empty").hidden = rows.length > 0;
  place();
}

export function place() {
  const list = $("rows");
  if (!list.offsetParent) return; // another view is open
  const height = rowHeight();
  const top = list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(-top / height) - MORE);
  const last = Math.min(shown.length, Math.ceil((innerHeight - top) / height) + MORE);
  const visible = new Set(shown.slice(first, last));
  for (const [row, { item }] of drawn) {
    if (visible.has(row)) continue;
    item.remove();
    drawn.delete(row);
  }
  for (let index = first; index < last; index += 1) {
    const row = shown[index];
    let found = drawn.get(row);
    if (!found) {
      found = { item: document.createElement("li"), version: -1 };
      drawn.set(row, found);
    }
    const text = waitText(row);
    if (found.version !== row.version || found.text !== text) {
      draw(found.item, row);
      Object.assign(found, { version: row.version, text });
    }
    found.item.style.top = `${index * height}px`;
    found.item.setAttribute("aria-setsize", shown.length);
    found.item.setAttribute("aria-posinset", index + 1);
    const next = list.children[index - first];
    if (next !== found.item) list.insertBefore(found.item, next || null);
  }
}

addEventListener("scroll", place, { passive: true });
addEventListener("resize", () => show(shown));
