// The drift of the last minutes, for each model that has answered.

import { count, element, index, percent } from "./dom.js";
import { plot } from "./plot.js";

const LABELS = 20;

export function drift(found) {
  const parts = found.drift.map((model) => of(model, found.drift_step_s, found.window_s / 60));
  return parts.length ? element("div", { class: "drift" }, ...parts) : null;
}

function of(model, seconds, minutes) {
  const { limit } = model;
  const name = element("h3", {}, `${model.model}, ${count(model.images)} predictions`);
  if (model.problem) return element("div", {}, name, element("p", { class: "soft" }, `${model.problem}.`));
  const verdict = model.reasons.length
    ? model.reasons.map((reason) => element("p", { class: "bad" }, `${reason}.`))
    : [element("p", {}, model.images < model.least ? `Too few predictions to tell: ${model.least} are needed.` : "No drift.")];
  const indices = `Stability index of ${minutes} minutes: labels ${index(model.labels)}, scores ${index(model.scores)}; above ${limit} is drift. `;
  const [value, low, high] = model.accuracy.map(percent);
  const accuracy = `Expected accuracy without labels: ${value} (${low} to ${high}), if the scores are calibrated for such images.`;
  const most = Math.max(2 * limit, ...model.steps);
  const text = `Stability index of labels or scores, the larger, in each ${seconds} seconds with ${model.least} predictions or more; the line is ${limit}`;
  return element(
    "div",
    {},
    name,
    ...verdict,
    element("p", { class: "soft" }, indices + accuracy),
    plot(model.steps.map((bar) => ({ bar })), most, text, limit),
    shares(model),
  );
}

// The labels whose share differs most from the reference.
function shares(model) {
  const names = ["label", "reference", "now", ""];
  const difference = ({ expected, found }) => Math.abs(found - expected);
  const lines = model.shares
    .toSorted((a, b) => difference(b) - difference(a))
    .slice(0, LABELS)
    .map((each) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, each.label),
        element("td", { class: "number" }, percent(each.expected)),
        element("td", { class: "number" }, percent(each.found)),
        element("td", {}, each.is_significant ? "drift" : ""),
      ),
    );
  const head = element("tr", {}, ...names.map((name, at) => element(name ? "th" : "td", name ? { scope: "col", class: at > 0 && "number" } : {}, name)));
  return element(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": `Shares of the labels of ${model.model}` },
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)),
  );
}
