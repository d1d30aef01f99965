// The list of conversations, and the drawer it becomes on a narrow screen.

import { call } from "./api.js";
import { byId, icon, make } from "./dom.js";

const DAY_MS = 86_400_000;

export class Sidebar {
  /** `open(id)`, `fresh()`, `forget(id, title)`. */
  constructor(actions) {
    this.actions = actions;
    this.list = byId("conversations");
    this.drawer = byId("sidebar");
    this.scrim = byId("scrim");
    this.conversations = [];
    this.current = null;

    byId("open-sidebar").append(icon("menu"));
    byId("close-sidebar").append(icon("close"));
    byId("open-sidebar").addEventListener("click", () => this.slide(true));
    byId("close-sidebar").addEventListener("click", () => this.slide(false));
    this.scrim.addEventListener("click", () => this.slide(false));
    byId("new-chat").addEventListener("click", () => {
      this.slide(false);
      actions.fresh();
    });
  }

  get slidOut() {
    return this.drawer.classList.contains("open");
  }

  slide(out) {
    if (out === this.slidOut) return;
    this.drawer.classList.toggle("open", out);
    this.scrim.hidden = !out;
    document.querySelector("main").inert = out;
    (out ? byId("new-chat") : byId("open-sidebar")).focus();
  }

  async load() {
    this.conversations = await call("GET", "/page/conversations");
    this.draw();
  }

  select(id) {
    this.current = id;
    this.draw();
  }

  /** The title of a conversation, "" where it has none yet. */
  title(id) {
    return this.conversations.find((one) => one.id === id)?.title ?? "";
  }

  draw() {
    const groups = new Map();
    for (const one of this.conversations) {
      const name = age(one.updated_at * 1000);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(this.item(one));
    }
    const parts = [...groups].flatMap(([name, items]) => [make("h2", {}, name), make("ol", {}, ...items)]);
    this.list.replaceChildren(...(parts.length ? parts : [make("p", {}, "Your conversations will be kept here.")]));
  }

  item({ id, title }) {
    const open = (event) => {
      event.preventDefault();
      this.slide(false);
      this.actions.open(id);
    };
    const current = id === this.current;
    const link = make(
      "a",
      { href: `#c/${id}`, title, "aria-current": current ? "page" : null, onclick: open },
      title || "Untitled",
    );
    const forget = make(
      "button",
      { class: "icon", type: "button", "aria-label": `Delete ${title}`, onclick: () => this.actions.forget(id, title) },
      icon("bin"),
    );
    return make("li", { class: current ? "current" : null }, link, forget);
  }
}

function age(at) {
  const today = new Date().setHours(0, 0, 0, 0);
  if (at >= today) return "Today";
  if (at >= today - DAY_MS) return "Yesterday";
  if (at >= today - 7 * DAY_MS) return "Last seven days";
  return new Date(at).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}
