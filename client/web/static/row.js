// One row of the list, and its details.

import { $, count, element, ms, score } from "./dom.js";
import { isWaiting, mayGoAgain, queue } from "./rows.js";
import { again } from "./send.js";
import { similar } from "./similar.js";

const STAGES = [
  ["queue", "queue_ms"],
  ["fetch", "fetch_ms"],
  ["decode", "decode_ms"],
  ["predict", "predict_ms"],
  ["total, in the worker", "total_ms"],
  ["client, sent to received", "client_ms"],
];
const WAITING = { local: "is being uploaded", waiting: "waits to be sent", sent: "waits for its response", missing: "no response" };
const SHOWN_BARS = 3;

const problemOf = (row) =>
  row.error_code ? `${row.error_code}: ${row.error_message}` : row.state === "failed" ? row.problem : "";

// Returns what an image waits for: how many of the page's images wait before it, and how deep the queue is.
export function waitText(row) {
  if (!isWaiting(row)) return WAITING[row.state] || "";
  const parts = [row.state === "local" && row.problem ? row.problem : WAITING[row.state]];
  if (row.before) parts.push(`${count(row.before)} of these images wait before it`);
  if (row.queued && queue.messages) parts.push(`${count(queue.messages)} in the queue${age(queue)}`);
  return parts.join(" · ");
}

// Returns how old the depth of the queue is: Cloud Monitoring knows it some minutes later.
export const age = ({ minutes_ago: minutes }) => (minutes ? ` ${minutes} min ago` : "");

function thumbnail(row) {
  const address = row.local || (row.thumbnail ? `/api/rows/${row.job}/${row.n}/thumbnail` : "");
  const box = element("div", { class: "thumb" });
  box.append(address ? element("img", { src: address, alt: "", loading: "lazy" }) : "no thumbnail");
  return box;
}

function bars(row, most) {
  const box = element("div", { class: "bars" });
  for (const [index, { label, score: value }] of (row.predictions || []).slice(0, most).entries()) {
    const bar = element("i");
    bar.style.width = `${100 * Math.max(0, Math.min(1, value))}%`;
    const names = element("span", { class: index === 0 ? "best" : undefined }, label);
    box.append(element("div", {}, bar, names, element("span", {}, score(value))));
  }
  return box;
}

const times = (row) =>
  row.total_ms === undefined
    ? ""
    : STAGES.slice(0, 4).filter(([, column]) => row[column]).map(([name, column]) => `${name} ${ms(row[column])}`).join(" · ");

const model = (row) => `${row.model_name} ${row.model_version}`;
const digest = (row) => row.model_digest.replace("sha256:", "").slice(0, 12);

export function draw(item, row) {
  const hadFocus = item.contains(document.activeElement);
  const problem = problemOf(row);
  const middle = problem
    ? element("p", { class: "problem" }, problem)
    : row.state === "ok"
      ? bars(row, SHOWN_BARS)
      : element("p", { class: "soft waits" }, waitText(row));
  const button = element("button", { type: "button", "aria-label": `Details of ${row.file}` }, "Details");
  button.addEventListener("click", () => open(row));
  const resend = mayGoAgain(row) ? element("button", { type: "button", "aria-label": `Send ${row.file} again` }, "Send again") : null;
  resend?.addEventListener("click", () => again([row]));
  item.replaceChildren(
    thumbnail(row),
    element(
      "div",
      {},
      element("p", { class: "file", title: row.file }, row.file),
      element("p", { class: "soft" }, row.client_ms === undefined ? "" : `client ${ms(row.client_ms)} · total ${ms(row.total_ms)}`),
      element("p", { class: "soft stages" }, times(row)),
    ),
    middle,
    row.model_name
      ? element(
          "div",
          { class: "model" },
          element("p", { class: "soft" }, model(row)),
          element("p", { class: "soft", title: row.model_digest }, digest(row)),
          element("p", { class: "soft" }, row.engine),
        )
      : element("div", { class: "model" }),
    element("div", { class: "actions" }, button, resend),
  );
  if (hadFocus) button.focus();
  if ($("details").open && $("details").row === row) fill(row);
}

function image(row) {
  const made = element("div");
  const stack = element("div", { class: "stack" });
  const address = row.image ? URL.createObjectURL(row.image) : row.local || (row.thumbnail && `/api/rows/${row.job}/${row.n}/thumbnail`);
  if (address) {
    const shown = element("img", { src: address, alt: row.file });
    const release = () => row.image && URL.revokeObjectURL(address);
    shown.addEventListener("load", release);
    shown.addEventListener("error", () => {
      shown.remove();
      release();
    });
    stack.append(shown);
  }
  made.append(stack);
  if (row.explanation) {
    const overlay = element("img", { src: `/api/rows/${row.job}/${row.n}/explanation`, alt: "Where the model looked", id: "overlay" });
    const level = element("input", { type: "range", min: 0, max: 100, value: 100, id: "level" });
    const set = () => {
      overlay.style.opacity = level.value / 100;
    };
    level.addEventListener("input", set);
    set();
    stack.append(overlay);
    made.append(element("label", { class: "overlay-level" }, "From the image to the heat map, which is on the model's input", level));
  }
  return made;
}

function fill(row) {
  $("details-title").textContent = row.file;
  const facts = [
    ["state", row.state === "ok" ? "answered" : row.state === "error" ? "refused" : WAITING[row.state] || "not sent"],
    ["labels", row.labels && row.labels.join(", ")],
    ...STAGES.map(([name, column]) => [name, row[column] === undefined ? undefined : ms(row[column])]),
    ["model", row.model_name && model(row)],
    ["digest", row.model_digest],
    ["engine", row.engine],
    ["delivery attempt", row.delivery_attempt],
    ["completed", row.completed_at],
    ["request id", row.request_id],
    ["trace id", row.trace_id],
    ["job", row.job && `${row.job}, image ${row.n}`],
  ];
  const list = element("dl");
  for (const [name, value] of facts) {
    if (value !== undefined && value !== "" && value !== null) list.append(element("dt", {}, name), element("dd", {}, String(value)));
  }
  const problem = problemOf(row);
  $("details-body").replaceChildren(
    image(row),
    element("div", {}, problem ? element("p", { class: "problem" }, problem) : bars(row, 100), list),
    similar(row, open),
  );
}

function open(row) {
  $("details").row = row;
  fill(row);
  if ($("details").open) $("details").querySelector("button").focus();
  else $("details").showModal();
}
