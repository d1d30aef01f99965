// Talking to the server: the key, JSON calls, event streams.
//
// The key goes into the Authorization header, never into a cookie (which another site could make the browser send) or
// an address (which ends in logs). It is kept in localStorage so that it is asked for once; the page's policy lets no
// foreign script run here that could read it.

const KEY = "tern.key";

export const key = {
  get: () => localStorage.getItem(KEY),
  set: (value) => localStorage.setItem(KEY, value),
  clear: () => localStorage.removeItem(KEY),
};

/** What the server refused; `message` is its sentence, `key` what the request was signed with: a late refusal may
 *  belong to a key that was replaced meanwhile. */
export class Refusal extends Error {
  constructor(status, message, code, sentKey = key.get()) {
    super(message);
    this.status = status;
    this.code = code;
    this.key = sentKey;
  }
}

function headers(more) {
  const secret = key.get();
  return secret ? { ...more, Authorization: `Bearer ${secret}` } : more;
}

async function ask(method, path, init) {
  const sentKey = key.get();
  let response;
  try {
    response = await fetch(path, { method, credentials: "omit", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server cannot be reached.", "offline");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const message = body.error?.message ?? `The server answered ${response.status}.`;
  throw new Refusal(response.status, message, body.error?.code, sentKey);
}

/** One JSON call. */
export async function call(method, path, body) {
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await ask(method, path, { headers: headers(json), body: body && JSON.stringify(body) });
  return response.json();
}

/** The bytes behind a path. */
export async function download(path) {
  return (await ask("GET", path, { headers: headers({}) })).blob();
}

/** Upload one file; answers what a message's `attachments` wants. `progress(share)` hears how far it is.
 *  XMLHttpRequest, as fetch does not tell how much of a body has left. */
export function upload(file, { signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/page/uploads?name=${encodeURIComponent(file.name)}`);
    const sent = headers({ "Content-Type": file.type || "application/octet-stream" });
    for (const [name, value] of Object.entries(sent)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.total && progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      const body = request.response ?? {};
      if (request.status < 300) return resolve(body);
      reject(new Refusal(request.status, body.error?.message ?? `The server answered ${request.status}.`, body.error?.code));
    });
    request.addEventListener("error", () => reject(new Refusal(0, "The server cannot be reached.", "offline")));
    request.addEventListener("abort", () => reject(new DOMException("Removed.", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Yield {event, data} of an event stream until it ends. fetch instead of EventSource, which can send no headers. */
export async function* listen(path, signal) {
  const response = await ask("GET", path, { headers: headers({ Accept: "text/event-stream" }), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      let event = "";
      let data = "";
      for (const line of lines) {
        if (line.startsWith("event: ")) event = line.slice(7);
        else if (line.startsWith("data: ")) data = line.slice(6);
      }
      if (event) yield { event, data: JSON.parse(data) };
      else yield { event: "alive" };
    }
  }
}
