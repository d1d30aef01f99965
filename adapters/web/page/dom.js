// Building and changing elements. Text is text everywhere; the one place that makes HTML is `renderedHtml`, and what it
// is given was rendered and escaped by our own server.

const policy = window.trustedTypes?.createPolicy("tern", { createHTML: (html) => html });

/** Whether the command key takes the control key's place. */
export const apple = /Mac|iPhone|iPad/.test(navigator.platform);

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** make("button", {class: "icon", type: "button", onclick}, "text", child, ...) */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Put HTML that the server rendered into `element`. */
export function renderedHtml(element, html) {
  element.innerHTML = policy ? policy.createHTML(html) : html;
}

/** A new random id; crypto.randomUUID is missing on plain-http addresses other than localhost. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const SHAPES = {
  menu: "M4 7h16M4 12h16M4 17h10",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h10v11H9zM15 9V5H5v11h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  again: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 4v4.5H15",
  shorter: "M5 7h14M5 12h9M5 17h5",
  up: "M7 11v9H4v-9zM7 11l4-7c1.5 0 2.5 1 2.5 2.5V10h5.2a1.8 1.8 0 0 1 1.8 2.1l-1.1 6.4a1.8 1.8 0 0 1-1.8 1.5H7",
  down: "M17 13V4h3v9zM17 13l-4 7c-1.5 0-2.5-1-2.5-2.5V14H5.3a1.8 1.8 0 0 1-1.8-2.1l1.1-6.4A1.8 1.8 0 0 1 6.4 4H17",
  down_arrow: "M12 5v14M6 13l6 6 6-6",
  chevron: "M7 10l5 5 5-5",
  bin: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5",
  clip: "M19 11.5l-7.2 7.2a4.2 4.2 0 0 1-6-6l7.7-7.7a2.8 2.8 0 0 1 4 4l-7.6 7.6a1.4 1.4 0 0 1-2-2l6.9-6.9",
  microphone: "M12 4a2.6 2.6 0 0 0-2.6 2.6v5a2.6 2.6 0 0 0 5.2 0v-5A2.6 2.6 0 0 0 12 4zM6.5 11.2a5.5 5.5 0 0 0 11 0M12 16.8V20M9 20h6",
  play: "M8 5.5v13l10.5-6.5z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M18.4 5.6l-1.1 1.1M6.7 17.3l-1.1 1.1",
  gauge: "M4.5 17a8.5 8.5 0 1 1 15 0M12 14l3.5-5",
  help: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM9.7 9.5a2.4 2.4 0 1 1 3.3 2.2c-.7.3-1 .8-1 1.6M12 16.4v.1",
  box: "M12 4v10M8 10.5l4 4 4-4M4.5 15v4.5h15V15",
  key: "M14.5 9.5a4.5 4.5 0 1 1-4.2-4.5 4.5 4.5 0 0 1 4.2 4.5zM13.2 12.6L20 19.5M17 16.5l2-2",
};

/** One of our line drawings, 24 units wide. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[name]);
  path.setAttribute("fill", name === "stop" ? "currentColor" : "none");
  path.setAttribute("stroke", "currentColor");
  path.setAttribute("stroke-width", "1.7");
  path.setAttribute("stroke-linecap", "round");
  path.setAttribute("stroke-linejoin", "round");
  svg.append(path);
  return svg;
}

/** The bird. */
export function mark() {
  return document.querySelector(".brand .mark").cloneNode(true);
}

/** A line that says something in passing. */
export function toast(sentence) {
  if (!sentence) return;
  const line = make("div", { class: "toast" }, sentence);
  byId("toasts").append(line);
  setTimeout(() => line.remove(), 2500 + 40 * sentence.length);
}

/** Put text on the clipboard, also where the page is not a secure context. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const field = make("textarea", { class: "unseen" });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
