// The evaluation: cards of models, a job measured with true labels, and a canary next to stable.

import { comparison } from "./comparison.js";
import { $, count, element, json } from "./dom.js";
import { command, evaluated, facts, mistakes, notes, percent, table, text, title } from "./figures.js";

const NAMED = 10; // labels that the card names
let jobs = [];
let labels = null; // what the user has chosen, as {name, csv}; null for the labels where the job's images are

export function start() {
  served().catch(() => {}); // the head of the page says that the server is away
  $("card-model").addEventListener("change", () => show($("card-model").value));
  $("measure-job").addEventListener("change", describeLabels);
  $("measure").addEventListener("submit", (event) => busy(event, "measure-status", measure));
  $("compare").addEventListener("submit", (event) => busy(event, "compare-status", compare));
  $("labels-folder").addEventListener("click", () => $("folder").click());
  $("labels-csv").addEventListener("click", () => $("csv").click());
  $("labels-own").addEventListener("click", () => choose(null));
  $("folder").addEventListener("change", () => {
    if ($("folder").files.length) choose(ofFolder([...$("folder").files]));
  });
  $("csv").addEventListener("change", async () => {
    const [file] = $("csv").files;
    choose({ name: file.name, csv: await file.text() });
  });
}

export async function open() {
  try {
    const [models, found] = await Promise.all([json("/api/evaluation/models"), json("/api/evaluation/jobs")]);
    jobs = found;
    fill("card-model", [["", "the served model"], ...models.map((each) => [each.ref, named(each)])]);
    $("card-form").hidden = !models.length;
    const names = jobs.map((job) => [job.job, `${job.sends}: ${count(job.answered)} of ${count(job.images)} (${job.job})`]);
    fill("measure-job", names.length ? names : [["", "there is no job yet"]]);
    fill("compare-job", [["", "all jobs"], ...names]);
    describeLabels();
    await show($("card-model").value);
  } catch (error) {
    $("card").replaceChildren(text(error instanceof TypeError ? "the server does not answer" : error.message));
  }
}

// The line next to where images are dropped.
async function served() {
  const found = await json("/api/evaluation/card");
  if (found.unknown) {
    $("served").replaceChildren(found.unknown);
    return;
  }
  const { name, version, evaluation } = found;
  const parts = found.labels.length ? [`${count(found.labels.length)} labels`] : [];
  if (evaluation) {
    const measured = `macro F1 ${percent(evaluation.macro.f1)}, on ${count(evaluation.images)} ${evaluation.data}`;
    parts.push(`accuracy ${percent(evaluation.accuracy)}`, measured);
  }
  $("served").replaceChildren(
    element("b", {}, `${name} ${version}`),
    parts.length ? `: ${parts.join(", ")}. ` : ". ",
    element("a", { href: "#evaluation" }, "Evaluation"),
  );
}

function named(model) {
  const share = model.percent === null || model.percent === undefined ? "" : `, ${model.percent} %`;
  const kind = model.served ? ", served" : model.shadow ? ", shadow" : "";
  return model.ref.endsWith(`@${model.version}`) ? model.ref : `${model.ref} (${model.version}${share}${kind})`;
}

function fill(id, options) {
  const before = $(id).value;
  $(id).replaceChildren(...options.map(([value, name]) => element("option", { value }, name)));
  if (options.some(([value]) => value === before)) $(id).value = before;
}

async function show(ref) {
  try {
    card(await json(`/api/evaluation/card?model=${encodeURIComponent(ref)}`));
  } catch (error) {
    $("card").replaceChildren(text(error instanceof TypeError ? "the server does not answer" : error.message));
  }
}

function card(found) {
  if (found.unknown) {
    $("card").replaceChildren(text(found.unknown));
    return;
  }
  const { worker, evaluation } = found;
  const names = found.labels.slice(0, NAMED).join(", ") + (found.labels.length > NAMED ? ", …" : "");
  const rows = found.engines.map((each) => [
    each.name,
    each.variant || "-",
    each.images_per_second ? count(each.images_per_second) : "-",
    each.cold_start_s ? `${each.cold_start_s.toFixed(2)} s` : "-",
  ]);
  const differs = found.served === false && !$("card-model").value;
  $("card").replaceChildren(
    facts([
      ["name", found.name],
      ["version", found.version],
      ["digest", found.digest],
      ["served", found.served ? `yes, by ${worker.engine} on ${worker.device}` : found.served === false ? "not loaded by the worker now" : "not known: no worker answers over HTTP"],
      ["parameters", found.parameters && count(found.parameters)],
      ["labels", found.labels.length && `${count(found.labels.length)}: ${names}`],
      ["measured on", evaluation && `${count(evaluation.images)} ${evaluation.data}, with the engine ${evaluation.engine}`],
    ]),
    text(differs && `The worker serves ${worker.model} ${worker.version} (${worker.digest.slice(0, 19)}) instead.`) || "",
    table("Table of engines", ["engine", "variant", "images a second", "cold start"], rows),
    title("Evaluation"),
    ...(evaluation ? evaluated(evaluation) : [text(`There is no evaluation: ${found.problem}.`)]),
  );
}

// Labels

function ofFolder(files) {
  const images = files.filter((file) => !file.name.startsWith(".") && (!file.type || file.type.startsWith("image/")));
  const below = images.map((file) => file.webkitRelativePath.split("/")).filter((parts) => parts.length > 2);
  const cell = (value) => `"${value.replaceAll('"', '""')}"`;
  const lines = below.map((parts) => `${cell(parts.at(-1))},${cell(parts[1])}`);
  return { name: files[0].webkitRelativePath.split("/")[0], csv: ["file,label", ...lines, ""].join("\n") };
}

function choose(found) {
  labels = found;
  $("folder").value = $("csv").value = "";
  describeLabels();
}

function describeLabels() {
  const job = jobs.find((each) => each.job === $("measure-job").value);
  $("labels-own").hidden = !labels || !job?.labels;
  $("labels-status").textContent = labels
    ? `The labels of ${labels.name} are used: each belongs to the image with the same file name.`
    : job?.labels
      ? `The labels of ${job.labels} are used, where the images are.`
      : "Choose the labels: a folder with a folder of images for each label, or a CSV file with file,label.";
}

// Figures

async function busy(event, status, work) {
  event.preventDefault();
  const button = event.submitter || event.target.querySelector(".main");
  button.disabled = true;
  $(status).textContent = "calculating";
  try {
    $(status).textContent = await work();
  } catch (error) {
    $(status).textContent = error instanceof TypeError ? "the server does not answer" : error.message;
  }
  button.disabled = false;
}

const post = (address, body) => json(address, { method: "POST", body: body || "", headers: { "Content-Type": "text/csv" } });

async function measure() {
  $("measured").replaceChildren();
  const job = jobs.find((each) => each.job === $("measure-job").value);
  if (!job) return "There is no job yet: send images first.";
  if (!labels && !job.labels) return $("labels-status").textContent;
  const found = await post(`/api/evaluation/measure?job=${job.job}`, labels?.csv);
  $("measured").replaceChildren(
    text(found.models.join(", ")),
    ...evaluated(found),
    title("The worst mistakes"),
    text(found.mistakes.length ? "The wrong predictions with the highest scores." : ""),
    mistakes(found.mistakes),
    notes(found.notes) || "",
    command(found.command),
  );
  return "";
}

async function compare() {
  $("compared").replaceChildren();
  const query = new URLSearchParams({ stable: $("stable").value, candidate: $("candidate").value });
  const job = $("compare-job").value;
  if (job) query.append("job", job);
  const withLabels = $("compare-labels").checked;
  if (withLabels && !labels) query.set("labels", "own");
  const found = await post(`/api/evaluation/compare?${query}`, withLabels ? labels?.csv : "");
  const versions = found.models.map((each) => [each.digest, `${each.name} ${each.version} (${each.digest.slice(7, 19)})`]);
  for (const id of ["stable", "candidate"]) fill(id, [["", "as the registry says"], ...versions]);
  if (!found.found) return found.why;
  $("compared").replaceChildren(...comparison(found));
  return "";
}
