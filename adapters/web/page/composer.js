// The message field: typing, speaking, files, send and stop.

import { upload } from "./api.js";
import { byId, icon, make, toast } from "./dom.js";
import { Recorder } from "./recorder.js";

export class Composer {
  /** `send(text, attachments)`, `stop()`. */
  constructor({ send, stop }) {
    this.form = byId("composer");
    this.field = byId("question");
    this.sendButton = byId("send");
    this.stopButton = byId("stop");
    this.uploads = new Set();
    this.maxChars = Infinity;
    this.maxBytes = 0;
    this.running = false;
    this.onSend = send;

    this.sendButton.append(icon("send"));
    this.stopButton.append(icon("stop"));
    byId("attach").append(icon("clip"));
    this.stopButton.addEventListener("click", stop);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.field.addEventListener("input", () => this.refresh());
    this.field.addEventListener("keydown", (event) => {
      // isComposing: Enter that picks a word in an input method must not send
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.sendWhenReady = false; // send was pressed while a clip was recorded: it goes as soon as it is uploaded
    this.recorder = new Recorder({ clip: (file) => this.add([file]), changed: () => this.refresh() });
    this.takeFiles();
  }

  /** What the server allows. */
  configure({ max_message_chars, max_upload_bytes, uploads }) {
    this.maxChars = max_message_chars;
    this.maxBytes = uploads ? max_upload_bytes : 0;
    byId("attach").hidden = !uploads;
    byId("record").hidden = !uploads || !Recorder.possible;
  }

  /** Put the cursor into the field; not on touch screens, where that would open the keyboard over the answer. */
  focus() {
    if (matchMedia("(pointer: fine)").matches) this.field.focus({ preventScroll: true });
  }

  put(text) {
    this.field.value = text;
    this.refresh();
    this.field.focus();
  }

  setRunning(running) {
    this.running = running;
    this.refresh();
  }

  refresh() {
    const length = this.field.value.length;
    const over = length - this.maxChars;
    byId("count").textContent = over > 0 ? `${over.toLocaleString()} characters too long` : "";
    const uploading = [...this.uploads].some((one) => !one.done);
    const recording = this.recorder?.recording;
    const something = this.field.value.trim() || this.uploads.size || recording;
    this.sendButton.disabled = !something || over > 0 || uploading;
    // while an answer grows the button stops it, unless the next question is being written already
    this.stopButton.hidden = !this.running || !!something;
    this.sendButton.hidden = !this.stopButton.hidden;
    if (!CSS.supports("field-sizing", "content")) {
      this.field.style.height = "auto";
      this.field.style.height = `${this.field.scrollHeight}px`;
    }
  }

  submit() {
    if (this.sendButton.disabled) return;
    if (this.recorder.recording) {
      this.sendWhenReady = true;
      this.recorder.stop();
      return;
    }
    const text = this.field.value.trim();
    const attachments = [...this.uploads].map((one) => one.kept);
    this.field.value = "";
    this.uploads.clear();
    byId("uploads").replaceChildren();
    this.refresh();
    this.onSend(text, attachments);
  }

  takeFiles() {
    const picker = byId("files");
    byId("attach").addEventListener("click", () => picker.click());
    picker.addEventListener("change", () => {
      this.add(picker.files);
      picker.value = "";
    });
    this.field.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.add(event.clipboardData.files);
    });
    const main = document.querySelector("main");
    main.addEventListener("dragover", (event) => {
      if (!this.maxBytes || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      this.form.classList.add("over");
    });
    main.addEventListener("dragleave", () => this.form.classList.remove("over"));
    main.addEventListener("drop", (event) => {
      this.form.classList.remove("over");
      if (!this.maxBytes || !event.dataTransfer.files.length) return;
      event.preventDefault();
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    if (!this.maxBytes) return;
    for (const file of files) this.addOne(file);
    this.refresh();
  }

  async addOne(file) {
    if (file.size > this.maxBytes) {
      toast(`${file.name} is larger than ${Math.round(this.maxBytes / 2 ** 20)} MB.`);
      return;
    }
    const controller = new AbortController();
    const entry = { done: false, kept: null };
    const local = URL.createObjectURL(file);
    const drop = () => {
      controller.abort();
      this.uploads.delete(entry);
      this.sendWhenReady = false;
      chip.remove();
      URL.revokeObjectURL(local);
      this.refresh();
    };
    const remove = make("button", { class: "icon", type: "button", "aria-label": `Remove ${file.name}`, onclick: drop });
    remove.append(icon("close"));
    const bar = make("progress", { max: 1, value: 0, "aria-label": `Uploading ${file.name}` });
    const chip = make("div", { class: "upload" }, preview(file, local), make("span", {}, file.name), bar, remove);
    byId("uploads").append(chip);
    this.uploads.add(entry);
    this.refresh();
    try {
      entry.kept = await upload(file, { signal: controller.signal, progress: (share) => (bar.value = share) });
      entry.done = true;
      chip.classList.add("done");
      bar.remove();
    } catch (error) {
      this.uploads.delete(entry);
      this.sendWhenReady = false;
      if (error.name !== "AbortError") {
        chip.classList.add("wrong");
        chip.title = error.message;
        bar.replaceWith(make("small", { role: "alert" }, error.message));
      }
    }
    this.refresh();
    if (this.sendWhenReady && !this.sendButton.disabled) {
      this.sendWhenReady = false;
      this.submit();
    }
  }
}

/** What a file looks or sounds like, before it is sent. */
function preview(file, address) {
  if (file.type.startsWith("image/")) {
    const picture = make("img", { alt: "", src: address });
    picture.addEventListener("error", () => picture.remove()); // a kind this browser does not draw (HEIC)
    return picture;
  }
  if (file.type.startsWith("audio/")) return make("audio", { controls: true, src: address });
  return null;
}
