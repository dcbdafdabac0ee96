// The rows: one for each image, the newest first. A row has an id (job and number) once the server has taken it.

const OWN = new Set(["key", "image", "local", "options", "thumbnail", "file", "version", "changed"]);
const WAITING = new Set(["local", "waiting", "sent"]);

let all = [];
const byId = new Map();
const byKey = new Map();
const listeners = [];
export let queue = { problem: "" };

const idOf = (row) => `${row.job}:${row.n}`;

export const onChange = (listener) => listeners.push(listener);
export const rows = () => all;
export const isWaiting = (row) => WAITING.has(row.state);
export const mayGoAgain = (row) => Boolean(row.again || (row.state === "failed" && !row.job && row.image && !row.isFinal));

let isDue = false;
function changed() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    for (const listener of listeners) listener();
  });
}

export function setQueue(found) {
  queue = found;
  changed();
}

// Adds the images that this page is about to upload.
export function addLocal(images) {
  const made = images.map((image) => ({ state: "local", version: 0, ...image }));
  for (const row of made) byKey.set(row.key, row);
  all = [...made.toReversed(), ...all];
  changed();
  return made;
}

export function update(row, values) {
  Object.assign(row, values);
  row.version += 1;
  const known = row.job && byId.get(idOf(row));
  if (known && known !== row) merge(row, known);
  else if (row.job) byId.set(idOf(row), row);
  changed();
}

// Keeps one of two rows of an image: the history had it before the reply to its upload arrived.
function merge(row, known) {
  for (const name of ["key", "image", "local", "options"]) known[name] = row[name];
  known.version += 1;
  byKey.set(row.key, known);
  all = all.filter((each) => each !== row);
}

// Takes rows of the server, the newest first. `readAt`: they are of the history, which was requested at this time. A row
// that has changed since is newer. `isFirst`: the page has no rows of the server yet, so that unknown ones go to the end.
export function take(found, { readAt = Infinity, isFirst = false } = {}) {
  const unknown = [];
  for (const given of found) {
    const row = byId.get(idOf(given)) || byKey.get(given.key);
    if (!row) {
      const made = { version: 0, changed: performance.now(), ...given };
      byId.set(idOf(made), made);
      unknown.push(made);
    } else if (!(row.changed > readAt)) {
      for (const name of Object.keys(row)) if (!OWN.has(name)) delete row[name];
      update(row, { ...given, changed: performance.now() });
    }
  }
  if (unknown.length) all = isFirst ? [...all, ...unknown] : [...unknown, ...all];
  changed();
}

// Counts the rows by what became of them, and tells each that waits how many wait before it.
export function counts() {
  const found = { images: all.length, ok: 0, refused: 0, failed: 0, waiting: 0, again: 0 };
  for (let index = all.length - 1; index >= 0; index -= 1) {
    const row = all[index];
    if (row.state === "ok") found.ok += 1;
    else if (row.state === "error") found.refused += 1;
    else if (row.state === "failed") found.failed += 1;
    else {
      row.before = isWaiting(row) ? found.waiting : 0;
      found.waiting += 1;
    }
    if (mayGoAgain(row)) found.again += 1;
  }
  return found;
}

export function matching(text) {
  const sought = text.trim().toLowerCase();
  if (!sought) return all;
  const texts = ({ file, label, error_code, error_message, problem, request_id, job }) =>
    [file, label, error_code, error_message, problem, request_id, job].join("\n").toLowerCase();
  return all.filter((row) => texts(row).includes(sought));
}
