// The open conversation: questions, and answers that grow.

import { call, download } from "./api.js";
import { byId, copyText, icon, make, mark, renderedHtml, toast } from "./dom.js";
import { attached } from "./files.js";

const ENDED = new Set(["answered", "stopped", "failed", "quarantined"]);

export class Thread {
  /** `actions`: retry(question), press(replyId, action) -> whether it was done, older(). `changed()` is called after every change. */
  constructor(root, actions, changed) {
    this.root = root;
    this.actions = actions;
    this.changed = changed;
    this.clear();
  }

  clear() {
    this.questions = new Map();
    this.answers = new Map();
    this.root.replaceChildren();
  }

  get empty() {
    return this.questions.size === 0 && this.answers.size === 0;
  }

  /** Whether an answer is on its way. */
  get running() {
    return [...this.answers.values()].some((answer) => answer.growing);
  }

  get newest() {
    return [...this.answers.values()].at(-1);
  }

  /** What the server has; questions that it has not heard of yet stay at the end. */
  snapshot({ turns, more }) {
    const unsent = [...this.questions.values()].filter((question) => question.unsent);
    this.clear();
    if (more) {
      this.root.append(make("button", { class: "older", type: "button", onclick: this.actions.older }, "Show earlier"));
    }
    for (const turn of turns) this.turn(turn, false);
    for (const question of unsent) {
      if (this.questions.has(question.id)) continue;
      this.questions.set(question.id, question);
      this.root.append(question.element);
    }
    this.changed();
  }

  turn(turn, announce = true) {
    if (turn.role === "user") {
      this.question(turn);
      if (!ENDED.has(turn.state) && turn.reply_id && !this.answers.has(turn.reply_id)) {
        this.answer(turn.reply_id, turn.message_id).wait(turn.waiting ?? "");
      }
    } else {
      this.answer(turn.reply_id, turn.message_id).settle(turn);
    }
    if (announce) this.changed();
  }

  /** Show a question, or learn more about one that stands there. */
  question(turn) {
    let question = this.questions.get(turn.message_id);
    if (!question) {
      question = new Question(turn);
      this.questions.set(question.id, question);
      this.root.append(question.element);
    } else if (question.text !== turn.text) {
      question.say(turn.text);
    }
    return question;
  }

  answer(replyId, messageId) {
    let answer = this.answers.get(replyId);
    if (!answer) {
      answer = new Answer(replyId, this.actions);
      this.answers.set(replyId, answer);
      const question = this.questions.get(messageId);
      if (question) question.element.after(answer.element);
      else this.root.append(answer.element);
    }
    return answer;
  }

  /** A step of a growing answer. */
  reply(step) {
    this.answer(step.reply_id, step.message_id).grow(step);
    this.changed();
  }
}

export class Question {
  constructor({ message_id, text, attachments = [] }) {
    this.id = message_id;
    this.attachments = attachments;
    this.unsent = false;
    this.said = make("div", { class: "said", dir: "auto" });
    this.element = make("article", { class: "question", "data-id": message_id, "aria-label": "You" });
    if (attachments.length) {
      this.element.append(make("div", { class: "files" }, ...attachments.map(attached)));
    }
    this.element.append(this.said);
    this.say(text);
  }

  say(text) {
    this.text = text;
    this.said.textContent = text;
    this.said.hidden = !text;
  }

  sending() {
    this.unsent = true;
    this.element.classList.add("sending");
    this.element.querySelector(".failed")?.remove();
  }

  sent() {
    this.unsent = false;
    this.element.classList.remove("sending");
  }

  /** It did not go through: say why and offer to send it again, under the same id. */
  failed(sentence, retry) {
    this.element.classList.remove("sending");
    const again = make("button", { type: "button", onclick: retry }, "Try again");
    this.element.append(make("div", { class: "failed", role: "alert" }, make("span", {}, sentence), again));
  }
}

class Answer {
  constructor(id, actions) {
    this.id = id;
    this.actions = actions;
    this.growing = false;
    this.markdown = "";
    this.html = [];
    this.body = make("div", { class: "prose" });
    this.status = make("div", { class: "status", hidden: true }, mark(), make("span"));
    this.footer = make("div", { class: "footer", hidden: true });
    this.files = make("div", {});
    this.under = make("div", { class: "under", hidden: true });
    this.element = make(
      "article",
      { class: "answer", "data-id": id, "aria-label": "Tern" },
      this.body,
      this.status,
      this.footer,
      this.files,
      this.under,
    );
  }

  /** Nothing to show yet. What stood here is hidden, not removed: steps build on what the server knows we have. */
  wait(sentence) {
    this.growing = true;
    this.body.hidden = true;
    this.update({ status: sentence });
  }

  /** Show again what stood here: nothing new is coming. */
  finish() {
    this.growing = false;
    this.body.hidden = false;
    this.update({});
  }

  /** Apply a step: [block, how much of its HTML stands, what follows]. */
  grow(step) {
    this.growing = !step.final;
    this.body.hidden = step.count === 0;
    for (const [index, keep, tail] of step.blocks) this.block(index, (this.html[index] ?? "").slice(0, keep) + tail);
    this.shorten(step.count);
    if (step.settled) this.conclude(step.settled);
    this.update({ ...step, ...step.settled });
    if (!step.final) this.markdown = "";
  }

  /** A stored turn. */
  settle(turn) {
    this.growing = !ENDED.has(turn.state);
    this.body.hidden = false;
    this.conclude(turn);
    turn.blocks.forEach((html, index) => this.block(index, html));
    this.shorten(turn.blocks.length);
    this.update({ facts: turn.facts, state: turn.state, files: turn.facts.files });
  }

  conclude({ text, state }) {
    this.markdown = text;
    this.element.classList.toggle("failed", state === "failed" || state === "quarantined");
  }

  block(index, html) {
    if (this.html[index] === html) return;
    this.html[index] = html;
    while (this.body.children.length <= index) this.body.append(make("div", { class: "block", dir: "auto" }));
    renderedHtml(this.body.children[index], html);
  }

  shorten(count) {
    this.html.length = Math.min(this.html.length, count);
    while (this.body.children.length > count) this.body.lastChild.remove();
  }

  update({ status = "", footer = "", files = [], facts = null, state = "" }) {
    const waiting = this.growing && (status || this.html.length === 0 || this.body.hidden);
    this.status.hidden = !waiting;
    this.status.lastChild.textContent = status || "";
    this.footer.textContent = footer;
    this.footer.hidden = !footer || footer === byId("banner").textContent; // said on top of the page already
    this.element.classList.toggle("growing", this.growing && !waiting);
    this.element.setAttribute("aria-busy", this.growing);
    this.files.replaceChildren(...files.map((file) => this.file(file)));
    this.under.hidden = this.growing;
    if (!this.growing) {
      if (facts || !this.under.firstChild) this.under.replaceChildren(figures(facts ?? {}, state), facts?.asks_leave ? this.question() : this.buttons());
    }
  }

  file({ ref, name, comment }) {
    const open = async () => {
      const address = URL.createObjectURL(await download(`/page/files/${ref}`));
      make("a", { href: address, download: name }).click();
      URL.revokeObjectURL(address);
    };
    return make("button", { class: "file", type: "button", title: comment, onclick: open }, icon("box"), name);
  }

  /** A tool that changes something waits for approval. */
  question() {
    const choice = (label, action, style) =>
      make("button", { class: style, type: "button", onclick: () => this.press(action) }, label);
    return make(
      "div",
      { class: "actions question", role: "group", "aria-label": "May this tool be used?" },
      choice("Confirm", "confirm", "primary"),
      choice("Decline", "decline", "quiet"),
    );
  }

  buttons() {
    const button = (shape, label, onclick) =>
      make("button", { class: "icon", type: "button", "aria-label": label, title: label, onclick }, icon(shape));
    const press = (action) => () => this.press(action);
    const thumb = (shape, label, action) =>
      button(shape, label, (event) => {
        event.currentTarget.setAttribute("aria-pressed", "true");
        this.press(action);
      });
    return make(
      "div",
      { class: "actions", role: "group", "aria-label": "What to do with this answer" },
      button("copy", "Copy", (event) => this.copy(event.currentTarget)),
      button("again", "Regenerate", press("regenerate")),
      button("shorter", "Shorter", press("shorter")),
      thumb("up", "Good answer", "thumbs_up"),
      thumb("down", "Bad answer", "thumbs_down"),
    );
  }

  async press(action) {
    const again = ["regenerate", "shorter", "confirm", "decline"].includes(action);
    if (again) this.wait("");
    const done = await this.actions.press(this.id, action);
    if (again && !done) this.finish();
  }

  async copy(button) {
    await copyText(this.markdown || this.body.innerText);
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  }
}

/** Model, time to first text, speed, cost; and what was unusual. */
function figures(facts, state) {
  const parts = [];
  const part = (text, title, style) => parts.push(make("span", { title, class: style }, text));
  if (facts.model) part(facts.model.split("/").at(-1), [...new Set([facts.model, facts.provider])].filter(Boolean).join(", "));
  if (facts.first_text_s != null) part(`${seconds(facts.first_text_s)} to first words`, "Time to the first visible words");
  if (facts.tokens_per_s) part(`${Math.round(facts.tokens_per_s).toLocaleString()} tokens/s`, "Speed of the answer");
  if (facts.cost_usd != null) part(dollars(facts.cost_usd), "What this answer cost");
  if (facts.provider === "local") part("small local model", "A small model on the server's own machine; it is often wrong", "badge");
  if (facts.from_cache) part("from memory", "The same question was answered a moment ago", "badge");
  if (facts.continued) part("continued", "A model broke off and another one went on", "badge");
  else if (facts.fallback || facts.attempts > 1) part("fallback", "The first choice did not answer", "badge");
  if (state === "stopped") part("stopped", "You stopped this answer", "badge");
  return make("div", { class: "figures" }, ...parts);
}

function seconds(value) {
  return value < 0.995 ? `${Math.max(1, Math.round(value * 1000))} ms` : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

function dollars(value) {
  if (!value) return "free";
  return value < 0.01 ? `$${value.toPrecision(2).replace(/e-(\d+)$/, "e-$1")}` : `$${value.toFixed(2)}`;
}

/** Copy buttons of code blocks: one listener for all, as blocks are replaced while they grow. */
byId("thread").addEventListener("click", async (event) => {
  const button = event.target.closest(".copy-code");
  if (!button) return;
  const code = button.closest("figure").querySelector("code").textContent;
  await copyText(code.replace(/\n$/, ""));
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

/** Carry out a control of an answer; false when it was refused. */
export async function press(replyId, action) {
  try {
    const { sentence } = await call("POST", `/page/replies/${replyId}/press`, { action });
    toast(sentence);
    return !sentence;
  } catch (error) {
    toast(error.message);
    return false;
  }
}
