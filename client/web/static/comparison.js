// A canary next to stable: the figures of both versions, and the verdict.

import { count, element, ms } from "./dom.js";
import { command, notes, percent, table, text, title } from "./figures.js";

const GOOD = ["better", "no worse"];
const interval = ({ value, low, high }) => `${percent(value)} (${percent(low)} to ${percent(high)})`;
const sum = (counts) => Object.values(counts).reduce((total, each) => total + each, 0);

// The elements of what /api/evaluation/compare returns.
export function comparison(found) {
  const { stable, candidate, errors, accuracy, verdict, reasons } = found.found;
  const heads = ["figure", "stable", "candidate", "candidate minus stable"];
  const both = (name, of) => [name, ...found.sides.map(of)];
  const counted = (name, each) => [name, interval(each.stable), interval(each.candidate), interval(each.difference)];
  const rows = [
    ["version", stable.version, candidate.version, ""],
    ["digest", short(stable), short(candidate), ""],
    [...both("images", (side) => count(side.images)), ""],
    [...both("share of the images", (side) => percent(side.share)), ""],
    [...both("without predictions", (side) => count(sum(side.errors))), ""],
    counted("share without predictions", errors),
  ];
  if (accuracy) {
    rows.push(["labelled images", count(accuracy.stable_of), count(accuracy.candidate_of), ""], counted("accuracy", accuracy));
  }
  const { same } = found;
  return [
    outcome(verdict, reasons),
    table("Table of both versions", heads, rows),
    text(
      same.images
        ? `Equal labels on ${percent(same.share)} of the ${count(same.images)} images that both answered.`
        : "No image was answered by both, so there is no agreement to measure.",
    ),
    title("Latency"),
    latency(found),
    title("Labels"),
    labels(found.found.labels),
    title("The saved verdict"),
    saved(found.saved),
    notes(found.notes) || "",
    command(found.command),
  ];
}

const short = ({ digest }) => digest.replace("sha256:", "").slice(0, 12);

function outcome(verdict, reasons) {
  return element(
    "div",
    {},
    element("p", { class: `verdict ${GOOD.includes(verdict) ? "good" : verdict === "worse" ? "bad" : ""}` }, `Verdict: ${verdict}`),
    notes(reasons),
  );
}

function latency({ sides, percentiles }) {
  const stages = Object.keys(sides[0].latency).filter((stage) => stage in sides[1].latency);
  const names = percentiles.map((p) => (p === 100 ? "max" : `p${p}`));
  const heads = ["stage", ...names.flatMap((name) => [`${name} stable`, `${name} candidate`])];
  const rows = stages.map((stage) => [stage, ...percentiles.flatMap((_, at) => sides.map((side) => ms(side.latency[stage][at])))]);
  return stages.length ? table("Table of latencies of both versions", heads, rows) : text("There are no times.");
}

function labels(found) {
  const rows = found.map((each) => [each.label, percent(each.stable.value), percent(each.candidate.value), interval(each.difference), each.p.toPrecision(2)]);
  return rows.length
    ? table("Table of the share of each label", ["share of label", "stable", "candidate", "difference", "p"], rows)
    : text("There are no predictions of both.");
}

function saved(verdict) {
  if (!verdict) return text("The registry has none on these two versions: predictions compare --canary NAME --save keeps one.");
  return element(
    "div",
    {},
    element("p", { class: "verdict" }, `${verdict.verdict}, of ${new Date(verdict.made_at).toLocaleString()}`),
    text(verdict.compared),
    notes(verdict.reasons),
  );
}
