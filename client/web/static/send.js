// Uploads images: makes the thumbnail, sends a few at a time, and tries again while the server is away.

import { $, count, json, say } from "./dom.js";
import { addLocal, mayGoAgain, rows, update } from "./rows.js";

const UPLOADS = 4; // a browser has six connections to one server, and the events of all its tabs take one
const THUMBNAIL = 96; // pixels
const THUMBNAIL_BYTES = 4096;
const AGAIN_MS = 1000;

let facts = null;
let running = 0;
const queue = [];

let begin = null;
const begun = new Promise((done) => {
  begin = done;
});

export function start(given) {
  facts = given;
  begin();
  $("limits").textContent = `At most ${count(facts.max_drop_images)} images and ${megabytes(facts.max_drop_bytes)} at once, ${megabytes(facts.max_bytes)} each.`;
}

const megabytes = (bytes) => `${count(Math.ceil(bytes / 1e6))} MB`;

// Returns why these files are too many for one drop, "" where they are not.
function excess(images) {
  const bytes = images.reduce((sum, image) => sum + image.size, 0);
  const advice = "Choose fewer, or send the folder with predictions publish.";
  if (images.length > facts.max_drop_images)
    return `These are ${count(images.length)} images, and at most ${count(facts.max_drop_images)} are taken at once. ${advice}`;
  if (bytes > facts.max_drop_bytes)
    return `These images have ${megabytes(bytes)}, and at most ${megabytes(facts.max_drop_bytes)} are taken at once. ${advice}`;
  return "";
}

// Returns 32 hex digits. A page at another machine's address without TLS has no randomUUID.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export async function send(files) {
  const images = [...files];
  if (!images.length) return;
  await begun; // images may be dropped before the page knows how they travel
  if (!$("options").reportValidity()) return;
  const problem = excess(images);
  say(problem);
  if (problem) return;
  const options = new URLSearchParams({
    way: document.querySelector("#ways input:checked").value,
    top_k: $("top-k").value,
    explain: $("explain").checked,
    features: $("features").checked,
  });
  if ($("model").value.trim()) options.set("model", $("model").value.trim());
  queue.push(...addLocal(images.map((image) => ({ key: newKey(), file: image.name || "image", image, options }))));
  work();
}

// Sends images again that were not sent, or whose error may pass: all of them without an argument.
export async function again(chosen = rows()) {
  const found = chosen.filter(mayGoAgain);
  for (const row of found.filter((each) => !each.job)) {
    update(row, { state: "local", problem: "" });
    queue.push(row);
  }
  work();
  const jobs = Map.groupBy(found.filter((each) => each.job), (row) => row.job);
  for (const [job, members] of jobs) {
    const body = JSON.stringify({ job, numbers: members.map((row) => row.n) });
    try {
      await json("/api/again", { method: "POST", body });
      say("");
    } catch (error) {
      say(error instanceof TypeError ? "the server does not answer" : error.message);
    }
  }
}

function work() {
  while (running < UPLOADS && queue.length) {
    running += 1;
    upload(queue.shift()).finally(() => {
      running -= 1;
      work();
    });
  }
}

async function upload(row) {
  const { image, options } = row;
  if (image.size > facts.max_bytes) {
    update(row, { state: "failed", isFinal: true, problem: `it is larger than ${count(facts.max_bytes)} bytes, and no more are allowed` });
    return;
  }
  const thumbnail = await shrunk(image);
  if (thumbnail) update(row, { local: URL.createObjectURL(thumbnail) });
  const address = `/api/images?${options}&${new URLSearchParams({ key: row.key, name: row.file })}`;
  try {
    const body = await image.arrayBuffer().catch(() => {
      throw new Error("it could not be read: it was moved or changed since it was chosen");
    });
    const reply = await persistently(row, () => json(address, { method: "POST", body }));
    update(row, { job: reply.job, n: reply.n, state: row.state === "local" ? "waiting" : row.state, problem: row.state === "local" ? "" : row.problem });
    if (thumbnail) {
      await persistently(row, () =>
        json(`/api/rows/${reply.job}/${reply.n}/thumbnail`, { method: "PUT", body: thumbnail }),
      );
    }
  } catch (error) {
    if (!row.job) update(row, { state: "failed", problem: error.message });
  }
}

// Repeats a request while nothing answers. An Error of the server ends it.
async function persistently(row, request) {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      if (!row.job) update(row, { problem: "the server does not answer; it is tried again" });
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }
}

// Returns the image as a WebP or JPEG of THUMBNAIL_BYTES at most, null where this browser cannot read it.
async function shrunk(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const canvas = document.createElement("canvas");
    let size = THUMBNAIL;
    for (let tries = 0; tries < 6; tries += 1) {
      const scale = Math.min(1, size / Math.max(bitmap.width, bitmap.height));
      canvas.width = Math.max(1, Math.round(bitmap.width * scale));
      canvas.height = Math.max(1, Math.round(bitmap.height * scale));
      canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/webp", 0.8 - 0.1 * tries));
      if (blob && blob.size <= THUMBNAIL_BYTES) return blob;
      size *= 0.8;
    }
  } catch {
    // the worker reads more formats than this browser does
  }
  return null;
}

// Returns the files of a drop, also those in folders.
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return transfer.files;
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      found.push(await new Promise((done, failed) => entry.file(done, failed)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const each of some) await walk(each);
    }
  };
  for (const entry of entries) await walk(entry);
  return found.filter((file) => !file.name.startsWith("."));
}
