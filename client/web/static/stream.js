// The events of the server. The tabs of a browser share one stream, because it opens at most six connections to a server.

const NAME = "events";
const EVENTS = ["hello", "rows", "queue", "notice", "reload", "alive"];
const AGAIN_MS = 1000;
const LOOK_MS = 5000;
const SILENT_MS = 40_000; // the server sends an event every 15 seconds at least

// Opens a stream, whose events `take` gets as a name and data, also `lost`. Returns a function that closes it.
function open(take) {
  let source = null;
  let timer = 0;
  const connect = () => {
    source = new EventSource("/api/events");
    for (const name of EVENTS) source.addEventListener(name, (event) => take(name, JSON.parse(event.data)));
    source.addEventListener("error", () => {
      take("lost", {});
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(connect, AGAIN_MS);
    });
  };
  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

// Calls `take` with each event. The tab that holds the lock has the stream, and passes its events on to the others.
export function listen(take) {
  if (!navigator.locks) {
    open(take); // a page at another machine's address without TLS has no locks
    return;
  }
  const channel = new BroadcastChannel(NAME);
  const me = Math.random();
  let state = "";
  let isLeader = false;
  let heard = performance.now();
  let request = null;

  const pass = (name, data) => {
    state = name === "lost" ? "lost" : "hello";
    channel.postMessage({ name, data });
    take(name, data);
  };
  // Waits for the lock, or takes it from a tab that is silent because the browser has stopped it.
  const lead = (steal) => {
    request?.abort();
    request = steal ? null : new AbortController();
    let close = null;
    navigator.locks
      .request(NAME, steal ? { steal } : { signal: request.signal }, () => {
        close = open(pass);
        isLeader = true;
        return new Promise(() => {});
      })
      .catch(() => {
        if (!close) return; // aborted for another request
        close();
        isLeader = false;
        heard = performance.now();
        lead(false);
      });
  };

  channel.addEventListener("message", ({ data: { name, data, to } }) => {
    heard = performance.now();
    if (name !== "ask") {
      if (!to || to === me) take(name, data);
    } else if (isLeader && state) channel.postMessage({ name: state, data: {}, to: data });
  });
  channel.postMessage({ name: "ask", data: me });
  lead(false);
  setInterval(() => {
    if (isLeader || document.hidden || performance.now() - heard < SILENT_MS) return;
    heard = performance.now();
    lead(true);
  }, LOOK_MS);
}
