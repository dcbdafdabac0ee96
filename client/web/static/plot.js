// A small plot: a bar and a line for each step of time.

import { element } from "./dom.js";

// `steps` have `bar`, `line` or neither, of which `most` is the largest. `limit` is a line through all of them.
export function plot(steps, most, text, limit) {
  const svg = element("svg:svg", { class: "plot", viewBox: `0 0 ${steps.length} 100`, preserveAspectRatio: "none", role: "img", "aria-label": text });
  const height = (value) => (92 * value) / most;
  const add = (x, width, value, thickness, name) =>
    svg.append(element("svg:rect", { x, width, y: 100 - height(value), height: thickness, class: name }));
  for (const [index, { bar, line }] of steps.entries()) {
    if (bar) add(index + 0.1, 0.8, bar, height(bar), bar > limit ? "high" : undefined);
    if (line) add(index + 0.1, 0.8, line, 2, "high");
  }
  if (limit) add(0, steps.length, limit, 1, "limit");
  return element("div", {}, svg, element("p", { class: "soft" }, text));
}
