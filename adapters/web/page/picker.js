// A button that opens a list of choices upwards. Arrow keys, Home, End, Enter and Escape work as in a select.

import { icon, make } from "./dom.js";

export class Picker {
  /** `choose(id)` is called with the new choice. */
  constructor(root, label, choose) {
    this.choose = choose;
    this.text = make("span");
    this.button = make(
      "button",
      { type: "button", "aria-haspopup": "listbox", "aria-expanded": "false", "aria-label": label, title: label },
      this.text,
      icon("chevron"),
    );
    this.list = make("ul", { role: "listbox", "aria-label": label, tabindex: "-1", hidden: true });
    this.button.addEventListener("click", () => (this.list.hidden ? this.open() : this.close()));
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("focusout", (event) => {
      if (!root.contains(event.relatedTarget)) this.close(false);
    });
    root.append(this.button, this.list);
  }

  /** `choices`: [id, description] pairs. */
  show(choices, current) {
    this.choices = choices;
    this.current = current;
    this.text.textContent = short(current || choices[0]?.[0] || "");
    this.list.replaceChildren(
      ...choices.map(([id, description], index) =>
        make(
          "li",
          {
            role: "option",
            id: `${this.button.title}-${index}`.replace(/\W/g, "-"),
            "aria-selected": String(id === current),
            onclick: () => this.take(index),
            onpointermove: () => this.activate(index),
          },
          make("b", {}, short(id)),
          make("small", {}, description),
          icon("check"),
        ),
      ),
    );
  }

  open() {
    this.list.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.activate(Math.max(0, this.choices.findIndex(([id]) => id === this.current)));
    this.list.focus();
  }

  close(refocus = true) {
    if (this.list.hidden) return;
    this.list.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    if (refocus) this.button.focus();
  }

  activate(index) {
    this.active = index;
    [...this.list.children].forEach((item, at) => item.classList.toggle("active", at === index));
    const item = this.list.children[index];
    if (!item) return;
    this.list.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  take(index) {
    const [id] = this.choices[index];
    this.close();
    if (id !== this.current) this.choose(id);
  }

  key(event) {
    const last = this.choices.length - 1;
    const moves = { ArrowDown: Math.min(this.active + 1, last), ArrowUp: Math.max(this.active - 1, 0), Home: 0, End: last };
    if (event.key in moves) this.activate(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.take(this.active);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** "openai/gpt-oss-20b" -> "gpt-oss-20b", "auto" -> "Auto" */
function short(id) {
  const name = id.split("/").at(-1);
  return /\d|\//.test(id) ? name : name.charAt(0).toUpperCase() + name.slice(1);
}
