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
export const ms = (value) => `${value.toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ms`;
export const score = (value) => value.toFixed(4);

// Returns the JSON of a reply. Throws an Error with the server's sentence, or a TypeError when nothing answers.
export async function json(address, options) {
  const reply = await fetch(address, options);
  const type = reply.headers.get("content-type") || "";
  const body = type.startsWith("application/json") ? await reply.json() : {};
  if (!reply.ok) throw new Error(body.error || `the server answered with the status ${reply.status}`);
  return body;
}

export function say(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
