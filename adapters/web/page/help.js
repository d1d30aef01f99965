// What can be done here, for the help panel.

import { apple, make } from "./dom.js";

const KEYS = [
  ["Enter", "Send"],
  ["Shift Enter", "New line"],
  ["Esc", "Stop the answer"],
  [apple ? "⌘ K" : "Ctrl K", "New chat"],
];

const SENTENCES = [
  "Write a question, or drop files and pictures into the message field. The answer appears as the model writes it; " +
    "under it stand the model, its speed and what it cost.",
  "Press the microphone to ask aloud, and again to stop: what was heard stands above the answer.",
  "“Auto” picks a model for each question. Choose another one, or a persona, below the message field; the choice " +
    "holds until you change it.",
  "Your conversations are kept on this server. Delete one in the list, export everything, or let the server forget you.",
];

export function help() {
  const keys = KEYS.map(([name, does]) => make("div", {}, make("dt", {}, make("kbd", {}, name)), make("dd", {}, does)));
  return make("div", {}, ...SENTENCES.map((text) => make("p", {}, text)), make("dl", { class: "keys" }, ...keys));
}
