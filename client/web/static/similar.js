// The rows that resemble one: a part of its details, which is searched for when it is asked for.

import { count, element, json, score } from "./dom.js";

// `open` shows the details of a row that was found.
export function similar(row, open) {
  if (row.state !== "ok") return document.createDocumentFragment();
  const part = element("section", { class: "similar", "aria-label": "Similar images" });
  const status = element("p", { class: "soft", role: "status" });
  if (!row.has_features) {
    status.textContent = "Similar images are found for what is sent with Similar images on.";
    part.append(status);
    return part;
  }
  const button = element("button", { type: "button" }, "Find similar images");
  button.addEventListener("click", async () => {
    button.disabled = true;
    status.textContent = "searching";
    try {
      const found = await json(`/api/rows/${row.job}/${row.n}/similar`);
      show(part, found, open);
      status.textContent = said(row, found);
    } catch (error) {
      status.textContent = error instanceof TypeError ? "the server does not answer" : error.message;
    }
    button.disabled = false;
  });
  part.append(button, status);
  return part;
}

const name = (row) => `${row.model_name} ${row.model_version}`;
const said = (row, { similar, searched }) =>
  similar.length
    ? `The nearest of ${count(searched)} images with features of ${name(row)}, by cosine similarity: 1 is the highest.`
    : `No other image has features of ${name(row)}.`;

function show(part, { similar: rows }, open) {
  const items = rows.map((row) => {
    const picture = row.thumbnail
      ? element("img", { src: `/api/rows/${row.job}/${row.n}/thumbnail`, alt: "", loading: "lazy" })
      : "no thumbnail";
    const button = element(
      "button",
      { type: "button", title: row.file },
      element("span", { class: "thumb" }, picture),
      element("span", { class: "file" }, row.file),
      element("span", { class: "soft" }, row.label),
      element("span", {}, score(row.similarity)),
    );
    button.addEventListener("click", () => open(row));
    return element("li", {}, button);
  });
  part.querySelector("ol")?.remove();
  part.append(element("ol", {}, ...items));
}
