// The page: its views, the events of the server, and what is dropped, pasted and chosen.

import * as dead from "./dead.js";
import { $, count, element, json, say } from "./dom.js";
import * as evaluation from "./evaluation.js";
import * as list from "./list.js";
import * as live from "./live.js";
import * as models from "./models.js";
import * as rows from "./rows.js";
import * as sending from "./send.js";
import { listen } from "./stream.js";

const VIEWS = ["images", "live", "jobs", "evaluation", "dead-letters"];
const WAYS = { topic: "Topic", bucket: "Bucket", http: "HTTP" };
let jobs = [];
let isFirst = true;

function view() {
  const wanted = VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "images";
  for (const name of VIEWS) $(name).hidden = name !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (wanted === "live") live.open();
  else live.close();
  if (wanted === "jobs") load().then(() => live.showJobs(jobs));
  if (wanted === "evaluation") evaluation.open();
  if (wanted === "images") list.place();
}

function refresh() {
  const found = rows.counts();
  const parts = [`${count(found.images)} images`, `${count(found.ok)} answered`, `${count(found.refused)} refused`];
  if (found.failed) parts.push(`${count(found.failed)} not sent`);
  parts.push(`${count(found.waiting)} wait`);
  const text = found.images ? parts.join(" · ") : "";
  $("again").hidden = !found.again;
  $("again").textContent = `Send ${count(found.again)} again`;
  if ($("counts").textContent !== text) $("counts").textContent = text;
  list.show(rows.matching($("find").value));
}

async function load() {
  try {
    const readAt = performance.now();
    const found = await json("/api/history");
    jobs = found.jobs;
    rows.setQueue(found.queue);
    rows.take(found.rows, { readAt, isFirst });
    isFirst = false;
  } catch (error) {
    if (!(error instanceof TypeError)) say(error.message);
  }
}

function connected(isConnected) {
  $("connection").textContent = isConnected ? "connected" : "the server does not answer; it is tried again";
  $("connection").classList.toggle("lost", !isConnected);
}

const TAKE = {
  hello: () => {
    connected(true);
    load();
  },
  lost: () => connected(false),
  rows: (found) => rows.take(found.toReversed()),
  queue: rows.setQueue,
  notice: say,
  reload: load,
  alive: () => {},
};

function takeFiles() {
  const drop = $("drop");
  $("choose").addEventListener("click", () => $("files").click());
  $("photograph").addEventListener("click", () => $("camera").click());
  for (const input of [$("files"), $("camera")]) {
    input.addEventListener("change", () => {
      sending.send(input.files);
      input.value = "";
    });
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    try {
      sending.send(await sending.dropped(event.dataTransfer));
    } catch (error) {
      say(`what was dropped cannot be read, and nothing was sent: ${error.message}`);
    }
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) sending.send(event.clipboardData.files);
  });
}

async function start() {
  addEventListener("hashchange", view);
  $("find").addEventListener("input", refresh);
  $("options").addEventListener("submit", (event) => event.preventDefault());
  $("again").addEventListener("click", () => sending.again());
  rows.onChange(refresh);
  dead.start();
  evaluation.start();
  models.start();
  takeFiles();
  view();
  const facts = await json("/api/facts");
  for (const [index, way] of facts.ways.entries()) {
    const input = element("input", { type: "radio", name: "way", value: way, checked: index === 0 });
    $("ways").append(element("label", {}, input, ` ${WAYS[way]}`));
  }
  $("top-k").max = facts.max_top_k;
  sending.start(facts);
  listen((name, data) => TAKE[name](data));
}

start().catch((error) => say(`the page could not start: ${error.message}`));
