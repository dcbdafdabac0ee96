// Dead letters: the list, and the redrive of those that are selected.

import { $, count, element, json } from "./dom.js";

const COLUMNS = [
  ["file", (each) => each.file || ""],
  ["reason", (each) => each.reason],
  ["died", (each) => each.died_at],
  ["attempts", (each) => each.attempts ?? "?"],
  ["redriven", (each) => each.redriven ?? "?"],
  ["request id", (each) => each.request_id],
];

const chosen = () => [...document.querySelectorAll("#dead input:checked")].map((input) => input.value);

export function start() {
  $("look").addEventListener("click", () => busy(look));
  $("redrive").addEventListener("click", () => busy(redrive));
  $("dead").addEventListener("change", () => {
    $("redrive").disabled = !chosen().length;
  });
}

async function busy(work) {
  $("look").disabled = $("redrive").disabled = true;
  try {
    await work();
  } catch (error) {
    $("dead-status").textContent = error instanceof TypeError ? "the server does not answer" : error.message;
  }
  $("look").disabled = false;
  $("redrive").disabled = !chosen().length;
}

async function look() {
  $("dead-status").textContent = "reading until nothing arrives for five seconds";
  const found = await json("/api/dead-letters");
  $("dead-status").textContent = found.length ? `${count(found.length)} dead letters` : "There are no dead letters.";
  show(found);
}

async function redrive() {
  $("dead-status").textContent = "redriving";
  const done = await json("/api/dead-letters/redrive", { method: "POST", body: JSON.stringify({ message_ids: chosen() }) });
  const left = done.filter((each) => each.left);
  const why = left.length ? `; ${count(left.length)} stay: ${left[0].left}` : "";
  const gone = new Set(done.filter((each) => !each.left).map((each) => each.message_id));
  for (const input of document.querySelectorAll("#dead input")) if (gone.has(input.value)) input.closest("tr").remove();
  $("dead-status").textContent = `${count(gone.size)} published again${why}`;
}

function show(found) {
  const head = element("tr", {}, element("th", { scope: "col" }, "redrive"), ...COLUMNS.map(([name]) => element("th", { scope: "col" }, name)));
  const lines = found.map((each) => {
    const box = element("input", { type: "checkbox", value: each.message_id, "aria-label": `Redrive ${each.file || each.request_id}` });
    return element("tr", {}, element("td", {}, box), ...COLUMNS.map(([, value]) => element("td", {}, String(value(each)))));
  });
  $("dead").replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
  $("dead").hidden = !found.length;
}
