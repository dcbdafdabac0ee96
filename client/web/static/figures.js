// Figures of an evaluation: tables, the confusion matrix as a heat map, and the worst mistakes.

import { count, element, score } from "./dom.js";

const MATRIX_LABELS = 30;
const LISTED_LABELS = 100;

// Exact halves go to the even digit, as in the commands; toFixed alone would round them up.
export function percent(share) {
  if (share === null || share === undefined) return "-";
  const value = 100 * share;
  const isRoundedDown = (8 * Math.abs(value)) % 4 === 1;
  return `${(isRoundedDown ? value - 0.005 * Math.sign(value) : value).toFixed(2)} %`;
}

export const figure = (value, name) => element("div", {}, element("b", {}, value), element("span", {}, name));
export const title = (text) => element("h3", {}, text);
export const text = (words) => (words ? element("p", { class: "soft" }, words) : null);
export const notes = (lines) => (lines.length ? element("ul", { class: "notes" }, ...lines.map((line) => element("li", {}, line))) : null);
export const command = (words) => element("p", { class: "soft" }, "The same figures: ", element("code", {}, words));

const scroll = (name, content) => element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, content);

// A table whose first column names the rows.
export function table(name, heads, rows) {
  const head = element("tr", {}, ...heads.map((each, place) => element("th", { scope: "col", class: place ? "number" : undefined }, each)));
  const lines = rows.map(([first, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells.map((cell) => element("td", { class: "number" }, cell))),
  );
  return scroll(name, element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
}

export function facts(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) {
    if (value) list.append(element("dt", {}, name), element("dd", {}, value));
  }
  return list;
}

// The figures, the labels and the confusion matrix of an evaluation.
export function evaluated(found) {
  const { precision, recall, f1 } = found.macro;
  return [
    element(
      "div",
      { class: "figures" },
      figure(percent(found.accuracy), "accuracy"),
      figure(percent(precision), "precision, mean of labels"),
      figure(percent(recall), "recall, mean of labels"),
      figure(percent(f1), "F1, mean of labels"),
      figure(count(found.images), "images"),
      found.calibration ? figure(found.calibration.error.toFixed(3), "calibration error") : null,
    ),
    element("div", { class: "sides" }, element("div", {}, title("Labels"), classes(found)), element("div", {}, title("Confusion"), matrix(found.confusion))),
  ];
}

function classes(found) {
  const all = Object.entries(found.classes);
  const rows = all
    .slice(0, LISTED_LABELS)
    .map(([label, each]) => [label, percent(each.precision), percent(each.recall), percent(each.f1), count(each.images)]);
  const left = all.length - rows.length;
  return element(
    "div",
    {},
    table("Table of labels", ["label", "precision", "recall", "F1", "images"], rows),
    left > 0 ? text(`and ${count(left)} other labels; the command below has all`) : null,
  );
}

function matrix({ labels, counts }) {
  const shown = mistaken(labels, counts);
  const head = element("tr", {}, element("td"), ...shown.map((at) => element("th", { scope: "col" }, element("span", {}, labels[at]))));
  const lines = shown.map((row) => {
    const images = counts[row].reduce((sum, value) => sum + value, 0);
    const cells = shown.map((column) => {
      const value = counts[row][column];
      const cell = element("td", { class: value ? (row === column ? "right" : "wrong") : "none" }, count(value));
      if (value) cell.style.setProperty("--level", `${(10 + 40 * Math.sqrt(value / images)).toFixed(1)}%`);
      return cell;
    });
    return element("tr", {}, element("th", { scope: "row", title: labels[row] }, labels[row]), ...cells);
  });
  const some = shown.length < labels.length ? ` The ${shown.length} of ${count(labels.length)} labels with the most mistakes.` : "";
  return element(
    "div",
    {},
    text(`Images by their true label (rows) and their prediction (columns).${some}`),
    scroll("Confusion matrix", element("table", { class: "matrix" }, element("thead", {}, head), element("tbody", {}, ...lines))),
  );
}

// The places of the labels that are shown: all, or those with the most wrong images, in their order.
function mistaken(labels, counts) {
  const places = labels.map((_, at) => at);
  if (labels.length <= MATRIX_LABELS) return places;
  const wrong = places.map((at) =>
    places.reduce((sum, other) => (other === at ? sum : sum + counts[at][other] + counts[other][at]), 0),
  );
  return places.toSorted((a, b) => wrong[b] - wrong[a]).slice(0, MATRIX_LABELS).toSorted((a, b) => a - b);
}

export function mistakes(found) {
  if (!found.length) return text("Every image with a true label is right.");
  return element(
    "ul",
    { class: "mistakes" },
    ...found.map((each) => {
      const box = element("div", { class: "thumb" });
      box.append(each.thumbnail ? element("img", { src: each.thumbnail, alt: "", loading: "lazy" }) : "no thumbnail");
      return element(
        "li",
        {},
        box,
        element("span", { class: "bad" }, `${each.predicted} ${score(each.score)}`),
        element("span", {}, `is ${each.label}`),
        element("span", { class: "soft file", title: each.file }, each.file),
      );
    }),
  );
}
