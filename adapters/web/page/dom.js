// Building and changing elements. Text is text everywhere; the one place that makes HTML is `renderedHtml`, and what it
// is given was rendered and escaped by our own server.

const policy = window.trustedTypes?.createPolicy("tern", { createHTML: (html) => html });

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
  check: "M5 12.500l4.5 4.500L19 7.5",
  again: "M19.5 12a7.5 7.5 0 1 1-2.3-5.400M19.5 4v4.500H15",
  shorter: "M5 7h14M5 12h9M5 17h5",
  up: "M7 11v9H4v-9zM7 11l4-7c1.5 0 2.5 1 2.5 2.500V10h5.200a1.8 1.8 0 0 1 1.8 2.100l-1.1 6.400a1.8 1.8 0 0 1-1.8 1.500H7",
  down: "M17 13V4h3v9zM17 13l-4 7c-1.5 0-2.5-1-2.5-2.500V14H5.300a1.8 1.8 0 0 1-1.8-2.100l1.1-6.400A1.8 1.8 0 0 1 6.4 4H17",
  down_arrow: "M12 5v14M6 13l6 6 6-6",
  chevron: "M7 10l5 5 5-5",
  bin: "M5 7h14M10 7V4.500h4V7M7 7l.8 12.500h8.400L17 7M10.5 11v5M13.5 11v5",
  clip: "M19 11.500l-7.2 7.200a4.2 4.2 0 0 1-6-6l7.7-7.700a2.8 2.8 0 0 1 4 4l-7.6 7.600a1.4 1.4 0 0 1-2-2l6.9-6.9",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v1.500M12 19.500V21M3 12h1.500M19.5 12H21M5.6 5.600l1.1 1.100M17.3 17.300l1.1 1.100M18.4 5.600l-1.1 1.100M6.7 17.300l-1.1 1.1",
  gauge: "M4.5 17a8.5 8.5 0 1 1 15 0M12 14l3.5-5",
  help: "M12 3.500a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM9.7 9.500a2.4 2.4 0 1 1 3.3 2.200c-.7.3-1 .8-1 1.600M12 16.400v.1",
  box: "M12 4v10M8 10.500l4 4 4-4M4.5 15v4.500h15V15",
  key: "M14.5 9.500a4.5 4.5 0 1 1-4.2-4.5 4.5 4.5 0 0 1 4.2 4.500zM13.2 12.600L20 19.500M17 16.500l2-2",
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
