// The rows: one for each image, the newest first. A row has an id (job and number) once the server has taken it.

const RANKS = { waiting: 0, failed: 0, sent: 1, missing: 1, error: 2, ok: 3 };

let all = [];
const byId = new Map();
const byKey = new Map();
const listeners = [];

const idOf = (row) => `${row.job}:${row.n}`;

export const onChange = (listener) => listeners.push(listener);
export const rows = () => all;

let isDue = false;
function changed() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    for (const listener of listeners) listener();
  });
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
  if (row.job && !byId.has(idOf(row))) byId.set(idOf(row), row);
  changed();
}

export function remove(row) {
  all = all.filter((each) => each !== row);
  byKey.delete(row.key);
  changed();
}

// Takes rows of the server, the newest first. An older state never replaces a newer one. `isFirst`: the page has no
// rows of the server yet, so that unknown ones go to the end.
export function take(found, isFirst = false) {
  const unknown = [];
  for (const given of found) {
    const row = byId.get(idOf(given)) || byKey.get(given.key);
    if (row) {
      const isOlder = (RANKS[given.state] ?? 0) < (RANKS[row.state] ?? -1);
      if (!isOlder) update(row, { error_code: undefined, error_message: undefined, problem: undefined, ...given });
      continue;
    }
    const made = { version: 0, ...given };
    byId.set(idOf(made), made);
    unknown.push(made);
  }
  if (unknown.length) {
    all = isFirst ? [...all, ...unknown] : [...unknown, ...all];
  }
  changed();
}

export function counts() {
  const found = { images: all.length, ok: 0, refused: 0, failed: 0, waiting: 0 };
  for (const { state } of all) {
    if (state === "ok") found.ok += 1;
    else if (state === "error") found.refused += 1;
    else if (state === "failed") found.failed += 1;
    else found.waiting += 1;
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
