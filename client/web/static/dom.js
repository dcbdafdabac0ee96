// Small helpers. Text goes into the page as text alone, never as HTML.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const count = (value) => value.toLocaleString("en");

// Rounds as the command line does: a number in the middle to the even digit, where toFixed takes the larger one.
function fixed(value, digits) {
  const text = value.toFixed(digits);
  const isMiddle = (value * 2 ** (digits + 1)) % 2 === 1;
  return isMiddle && Number(text.at(-1)) % 2 ? (value - 2 ** -30).toFixed(digits) : text;
}

export function ms(value) {
  const [whole, tenths] = fixed(value, 1).split(".");
  return `${count(Number(whole))}.${tenths} ms`;
}

export const score = (value) => fixed(value, 4);
export const index = (value) => fixed(value, 3);
export const percent = (share) => `${fixed(100 * share, 1)}%`;

// Returns the JSON of a reply. Throws an Error with the server's sentence, or a TypeError when nothing answers.
export async function json(address, options) {
  const reply = await fetch(address, options);
  const type = reply.headers.get("content-type") || "";
  const body = type.startsWith("application/json") ? await reply.json() : {};
  if (!reply.ok) throw new Error(body.error || `the server answered with the status ${reply.status}`);
  return body;
}

// The names and counts of an object, the largest first: JavaScript puts names that are numbers, such as "7", first.
export const byCount = (counts) => Object.entries(counts).toSorted(([, a], [, b]) => b - a);

export function say(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
