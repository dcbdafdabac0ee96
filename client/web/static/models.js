// The list of models that a request can name. It is read again when it is opened; any other name can be typed.

import { $, element, json } from "./dom.js";

const EVERY_MS = 5000;
let readAt = -EVERY_MS;

export function start() {
  $("model").addEventListener("focus", read);
  read();
}

async function read() {
  if (performance.now() - readAt < EVERY_MS) return;
  readAt = performance.now();
  try {
    const found = await json("/api/models");
    $("models").replaceChildren(...found.models.map(({ name, about }) => element("option", { value: name }, about)));
    $("model").placeholder = found.default ? `${found.default} (default)` : "the default";
    $("models-note").textContent = found.note;
    $("models-note").hidden = !found.note;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the head of the page says that the server is away
  }
}
