// The one dialog: asks for a key, confirms, shows what a command said.

import { byId, make, renderedHtml } from "./dom.js";

const panel = byId("panel");
const title = byId("panel-title");
const body = byId("panel-body");
const buttons = byId("panel-buttons");

function open(heading, ...choices) {
  title.textContent = heading;
  buttons.replaceChildren(
    ...choices.map(([label, value, style]) => make("button", { class: `button ${style ?? ""}`, value }, label)),
  );
  panel.returnValue = "";
  panel.showModal();
  return new Promise((resolve) => {
    panel.addEventListener("close", () => resolve(panel.returnValue), { once: true });
  });
}

/** Show what a command said; `html` was rendered by the server. */
export function say(heading, html) {
  renderedHtml(body, html);
  return open(heading, ["Close", "close", "main"]);
}

/** Show our own elements. */
export function explain(heading, ...elements) {
  body.replaceChildren(...elements);
  return open(heading, ["Close", "close", "main"]);
}

/** Ask yes or no; true for yes. */
export async function confirm(heading, sentence, yes) {
  body.replaceChildren(make("p", {}, sentence));
  return (await open(heading, ["Cancel", ""], [yes, "yes", "grave"])) === "yes";
}

/** Ask for the API key; "" when none was given. */
export async function askForKey(problem) {
  const field = make("input", { type: "password", "aria-label": "API key", autocomplete: "current-password" });
  body.replaceChildren(
    make("p", {}, "This page needs one of the server's API keys. It is kept in this browser only."),
    field,
  );
  if (problem) body.append(make("p", { class: "problem", role: "alert" }, problem));
  const answered = open("Your key", ["Continue", "yes", "main"]);
  field.focus();
  return (await answered) === "yes" ? field.value.trim() : "";
}
