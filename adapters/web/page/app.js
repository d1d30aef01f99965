// The page: puts the parts together and decides which conversation is open.

import { call, download, key, Refusal } from "./api.js";
import { Composer } from "./composer.js";
import { apple, byId, icon, make, newId, toast } from "./dom.js";
import { help } from "./help.js";
import { askForKey, confirm, explain, say } from "./panel.js";
import { Picker } from "./picker.js";
import { Sidebar } from "./sidebar.js";
import { Stream } from "./stream.js";
import { press, Thread } from "./thread.js";

const NEAR_END_PX = 90;
const PAGE_OF_TURNS = 100;
const REST_AFTER_MS = 60_000; // in a tab that nobody looks at
const SUGGESTIONS = [
  "Explain how tides work, as if I were ten",
  "Write a Python function that finds duplicate files",
  "Draft a polite note that moves a meeting to Thursday",
  "Compare SQLite and PostgreSQL in a table",
];

const scroller = byId("scroller");

let current = null; // id of the open conversation
let stream = null;
let limit = PAGE_OF_TURNS;
let following = true; // whether the view stays with the newest words
let wasRunning = false;

const thread = new Thread(byId("thread"), { press, older }, changed);
const composer = new Composer({ send, stop });
const sidebar = new Sidebar({ open, fresh: () => open(null), forget: forgetConversation });
const models = new Picker(byId("pick-model"), "Model", (model) => choose({ model }));
const personas = new Picker(byId("pick-persona"), "Persona", (persona) => choose({ persona }));

// --- the open conversation

/** Open a conversation; null opens an empty one, which gets its id with its first message. */
function open(id) {
  stream?.close();
  stream = null;
  current = id;
  limit = PAGE_OF_TURNS;
  following = true;
  thread.clear();
  history.replaceState(null, "", id ? `#c/${id}` : location.pathname);
  sidebar.select(id);
  if (id) connect();
  changed();
  composer.focus();
}

function connect() {
  stream?.close();
  stream = new Stream(`/page/conversations/${current}/events?limit=${limit}`, {
    state: (connected) => (byId("connection").textContent = connected ? "" : "Reconnecting …"),
    refused: signIn,
    snapshot: (snapshot) => {
      const fromEnd = scroller.scrollHeight - scroller.scrollTop;
      thread.snapshot(snapshot);
      if (!following) scroller.scrollTop = scroller.scrollHeight - fromEnd;
    },
    reply: (step) => thread.reply(step),
    turn: (turn) => thread.turn(turn),
    question: (asked) => {
      thread.question(asked).sent();
      if (asked.reply_id) thread.turn({ ...asked, role: "user", state: "accepted" });
    },
    forgotten: () => thread.snapshot({ turns: [], more: false }),
  });
}

function older() {
  limit += PAGE_OF_TURNS;
  following = false;
  connect();
}

async function send(text, attachments) {
  if (!current) {
    current = newId();
    history.replaceState(null, "", `#c/${current}`);
    connect();
  }
  following = true;
  const question = thread.question({ message_id: newId(), text, attachments });
  changed();
  await deliver(current, question);
}

/** Hand a question over; trying again is safe, as the server knows it by its id. */
async function deliver(conversation, question) {
  question.sending();
  const { id: message_id, text, attachments } = question;
  const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
  try {
    const receipt = await call("POST", `/page/conversations/${conversation}/messages`, {
      message_id,
      text,
      tz,
      attachments,
    });
    question.sent();
    if (conversation === current && receipt.reply_id && !thread.answers.has(receipt.reply_id)) {
      thread.answer(receipt.reply_id, message_id).wait(receipt.waiting);
    }
    changed();
    await sidebar.load();
    sidebar.select(current);
    retitle();
  } catch (error) {
    question.failed(error.message, () => deliver(conversation, question));
    if (error.status === 401) signIn(error);
  }
}

async function stop() {
  if (!current) return;
  try {
    await call("POST", `/page/conversations/${current}/stop`);
  } catch (error) {
    toast(error.message);
  }
}

/** Something in the thread changed. */
function changed() {
  byId("welcome").hidden = !(thread.empty && (!current || stream));
  composer.setRunning(thread.running);
  if (wasRunning && !thread.running) sidebar.load().catch(() => {});
  wasRunning = thread.running;
  retitle();
  if (following) scroller.scrollTop = scroller.scrollHeight;
  byId("to-end").hidden = following;
}

function retitle() {
  const title = (current && (sidebar.title(current) || thread.questions.values().next().value?.text)) || "";
  byId("title").textContent = title || "New chat";
  document.title = title ? `${title.slice(0, 60)} · Tern` : "Tern";
}

scroller.addEventListener("scroll", () => {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END_PX;
  byId("to-end").hidden = following;
});
new ResizeObserver(() => following && (scroller.scrollTop = scroller.scrollHeight)).observe(scroller);

byId("to-end").append(icon("down_arrow"));
byId("to-end").addEventListener("click", () => {
  following = true;
  scroller.scrollTo({ top: scroller.scrollHeight, behavior: "smooth" });
});

// --- commands

async function choose(choice) {
  try {
    const said = await call("POST", "/page/choice", choice);
    toast(said.text.replaceAll("**", "").replaceAll("`", ""));
  } catch (error) {
    toast(error.message);
  }
  await loadState();
}

async function forgetConversation(id, title) {
  const sentence = `“${title}” and everything stored about it will be gone for good.`;
  if (!(await confirm("Delete this conversation?", sentence, "Delete"))) return;
  try {
    toast((await call("DELETE", `/page/conversations/${id}`)).text);
    if (id === current) open(null);
    await sidebar.load();
  } catch (error) {
    toast(error.message);
  }
}

async function forgetMe() {
  const sentence = "All your conversations, files, choices and figures will be removed from this server for good.";
  if (!(await confirm("Forget everything about you?", sentence, "Forget me"))) return;
  const said = await call("POST", "/page/forget", {});
  open(null);
  await Promise.all([sidebar.load(), loadState()]);
  toast(said.text);
}

async function exportEverything() {
  const address = URL.createObjectURL(await download("/page/export"));
  make("a", { href: address, download: "tern-export.json" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const tools = {
  "new-chat": ["plus"],
  "show-usage": ["gauge", async () => say("Usage", (await call("GET", "/page/usage")).html)],
  "show-help": ["help", () => explain("Help", help())],
  export: ["box", exportEverything],
  "forget-me": ["bin", forgetMe],
  "sign-out": [
    "key",
    () => {
      key.clear();
      location.reload();
    },
  ],
};
for (const [id, [shape, act]] of Object.entries(tools)) {
  byId(id).querySelector(".glyph").append(icon(shape));
  if (!act) continue;
  byId(id).addEventListener("click", async () => {
    sidebar.slide(false);
    try {
      await act();
    } catch (error) {
      toast(error.message);
    }
  });
}

// --- theme

byId("theme").append(icon("sun"));
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("tern.theme", root.dataset.theme);
});

// --- keyboard

byId("new-chat").querySelector("kbd").textContent = apple ? "⌘ K" : "Ctrl K";
document.addEventListener("keydown", (event) => {
  if (event.key === "k" && (apple ? event.metaKey : event.ctrlKey) && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    sidebar.slide(false);
    open(null);
  } else if (event.key === "Escape" && sidebar.slidOut) {
    sidebar.slide(false);
  } else if (event.key === "Escape" && !byId("panel").open && thread.running) {
    stop();
  }
});

// --- begin

byId("suggestions").append(
  ...SUGGESTIONS.map((text) => make("button", { type: "button", onclick: () => composer.put(text) }, text)),
);

function greet() {
  const hour = new Date().getHours();
  const part = hour < 5 ? "Good evening" : hour < 12 ? "Good morning" : hour < 18 ? "Good afternoon" : "Good evening";
  byId("greeting").textContent = `${part}. What is on your mind?`;
}

async function loadState() {
  const state = await call("GET", "/page/state");
  byId("banner").textContent = state.banner;
  byId("banner").hidden = !state.banner;
  byId("sign-out").hidden = !key.get();
  models.show(state.models, state.model);
  byId("pick-persona").hidden = state.personas.length < 2;
  personas.show(state.personas, state.persona || state.personas[0]?.[0]);
  composer.configure(state);
}

let signingIn = false;

async function signIn(refusal) {
  if (signingIn || refusal.key !== key.get()) return; // it came late: another key was given since
  signingIn = true;
  const given = await askForKey(key.get() ? refusal.message : "");
  signingIn = false;
  if (given) key.set(given);
  await begin();
}

async function begin() {
  try {
    await Promise.all([loadState(), sidebar.load()]);
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return signIn(error);
    byId("connection").textContent = "Reconnecting …";
    setTimeout(begin, 2000);
    return;
  }
  byId("connection").textContent = "";
  const id = /^#c\/([\w-]{8,64})$/.exec(location.hash)?.[1] ?? null;
  if (id && id === current) connect(); // signed in again: what could not be sent yet stays in sight
  else open(id);
}

window.addEventListener("hashchange", () => {
  const id = /^#c\/([\w-]{8,64})$/.exec(location.hash)?.[1] ?? null;
  if (id !== current) open(id);
});

let tired = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(tired);
  if (document.visibilityState === "hidden") tired = setTimeout(() => thread.running || stream?.rest(), REST_AFTER_MS);
  else if (stream?.resting) stream.refresh();
});
window.addEventListener("online", () => stream?.refresh());

greet();
begin();
