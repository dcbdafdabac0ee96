// The figures of the last minutes, and the jobs.

import { $, byCount, count, element, json, ms } from "./dom.js";
import { drift } from "./drift.js";
import { plot } from "./plot.js";
import { age } from "./row.js";

const EVERY_MS = 2000;
const LABELS = 20;
let timer = 0;

export function open() {
  close();
  look();
  timer = setInterval(look, EVERY_MS);
}

export function close() {
  clearInterval(timer);
}

async function look() {
  if (document.hidden) return;
  try {
    draw(await json("/api/live"));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the head of the page says that the server is away
  }
}

const scroll = (name) => ({ class: "scroll", tabindex: 0, role: "region", "aria-label": name });
const figure = (value, name) => element("div", {}, element("b", {}, value), element("span", {}, name));

function draw(found) {
  const minutes = found.window_s / 60;
  const answered = Object.values(found.outcomes).reduce((sum, each) => sum + each, 0);
  const recent = found.throughput.slice(-2).reduce((sum, each) => sum + each, 0) / (2 * found.step_s);
  $("live").replaceChildren(
    element(
      "div",
      { class: "figures" },
      figure(count(answered), `responses in ${minutes} minutes`),
      figure(recent.toFixed(1), "images a second"),
      figure(count(found.waiting), "of this page wait for a response"),
      found.queue.subscription ? figure(count(found.queue.messages), `in the queue ${found.queue.subscription}${age(found.queue)}`) : null,
      ...Object.entries(found.outcomes).map(([name, value]) => figure(count(value), name === "ok" ? "with predictions" : "refused")),
    ),
    part("Throughput", throughput(found)),
    part("Latency", latency(found), answered ? times(found) : null),
    part("Queue", depth(found), null, `The depth of the queue is not known: ${found.queue.problem || "it is being read"}.`),
    part("Drift", drift(found), null, "no predictions in the last minutes"),
    part("Labels", shares(found.labels)),
    part("Errors", shares(found.errors)),
  );
}

const part = (title, content, plot, empty = "none in the last minutes") =>
  element("div", {}, element("h2", {}, title), plot, content || element("p", { class: "soft" }, empty));

function throughput(found) {
  const most = Math.max(1, ...found.throughput);
  const text = `Responses in each ${found.step_s} seconds of the last minutes as bars, those with an error as lines; at most ${count(most)}`;
  return plot(found.throughput.map((bar, index) => ({ bar, line: found.refused[index] })), most, text);
}

function depth(found) {
  if (found.queue.problem || found.queue.messages === undefined) return null;
  const most = Math.max(1, ...found.queue_depth);
  const text = `Messages of all senders that are not acked, in each ${found.step_s} seconds; at most ${count(most)}`;
  return plot(found.queue_depth.map((bar) => ({ bar })), most, text);
}

// The median as bars, and p95 as lines above them, of the times from sending to receiving.
function times(found) {
  const [p50, p95] = [50, 95].map((p) => found.percentiles.indexOf(p));
  const most = Math.max(...found.client_ms.filter(Boolean).map((each) => each[p95]), 1);
  const text = `From sent to received (client), in each ${found.step_s} seconds: p50 as bars, p95 as lines; at most ${ms(most)}`;
  return plot(found.client_ms.map((each) => (each ? { bar: each[p50], line: each[p95] } : {})), most, text);
}

function latency(found) {
  const stages = Object.entries(found.latency);
  if (!stages.length) return null;
  const names = found.percentiles.map((p) => (p === 100 ? "max" : `p${p}`));
  const head = element("tr", {}, element("th", { scope: "col" }, "stage"), ...names.map((name) => element("th", { scope: "col", class: "number" }, name)));
  const lines = stages.map(([name, values]) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...values.map((value) => element("td", { class: "number" }, ms(value)))),
  );
  return element("div", scroll("Table of latencies"), element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
}

function shares(counts) {
  const found = byCount(counts).slice(0, LABELS);
  if (!found.length) return null;
  const most = found[0][1];
  const box = element("div", { class: "bars" });
  for (const [name, value] of found) {
    const bar = element("i");
    bar.style.width = `${(100 * value) / most}%`;
    box.append(element("div", {}, bar, element("span", {}, name), element("span", {}, count(value))));
  }
  return box;
}

export function showJobs(jobs) {
  if (!jobs.length) {
    $("jobs").replaceChildren(element("p", { class: "soft" }, "There is no job yet."));
    return;
  }
  const names = ["job", "state", "sends", "with", "progress", "answered", "errors", "missing", "not sent"];
  const lines = jobs.map((job) => {
    const errors = Object.values(job.errors).reduce((sum, each) => sum + each, 0);
    const progress = element("progress", { max: Math.max(1, job.images), value: job.answered, "aria-label": `Progress of ${job.job}` });
    const cells = [job.job, job.state, job.sends, job.command, progress, `${count(job.answered)} of ${count(job.images)}`, count(errors), count(job.missing), count(job.not_sent)];
    return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
  });
  $("jobs").replaceChildren(
    element("div", scroll("Table of jobs"),
      element("table", {},
        element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...lines))),
  );
}
